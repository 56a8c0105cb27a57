// What was fetched, or is being fetched, by its path; the oldest goes first.

export class Kept {
  constructor(limit, load, dispose = () => {}) {
    Object.assign(this, { limit, load, dispose, coming: new Map() });
  }

  /** A promise of what lies at a path; asked for once. What failed is asked for again. */
  at(path) {
    const known = this.coming.get(path);
    this.coming.delete(path);
    const coming = known || this.load(path);
    this.coming.set(path, coming);
    coming.catch(() => this.coming.delete(path));
    for (const [oldest, gone] of this.coming) {
      if (this.coming.size <= this.limit) break;
      this.coming.delete(oldest);
      gone.then(this.dispose, () => {});
    }
    return coming;
  }

  /** Ask for it anew the next time. */
  forget(path) {
    this.coming.delete(path);
  }
}
