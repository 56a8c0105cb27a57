"""Where people judge calls: a page served on this machine alone, and what it stores."""
