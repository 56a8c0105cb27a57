// What to judge: the form that chooses a list of calls.

const ORDERS = {
  highest: "Highest score first",
  lowest: "Lowest score first",
  threshold: "Nearest to the threshold first",
  time: "By time",
  recording: "By recording",
  sample: "Drawn by chance, to know the precision",
};
const SHOWS = {
  unreviewed: "Calls that nobody judged",
  "not-by-me": "Calls that I did not judge",
  mine: "Calls that I judged",
  yes: "Judged yes",
  no: "Judged no",
  maybe: "Judged maybe",
  disagreed: "Calls on which reviewers differ",
  all: "All calls",
};

const dialog = document.querySelector("#options");
const form = dialog.querySelector("form");
const problem = dialog.querySelector("#options-problem");

function option(value, text) {
  return Object.assign(document.createElement("option"), { value, textContent: text });
}

/** Fill the form with what the survey offers and what was chosen last. */
export function prepare(survey, reviewer) {
  const { order, show, label, by } = form.elements;
  order.replaceChildren(...survey.orders.map((one) => option(one, ORDERS[one])));
  show.replaceChildren(...survey.shows.map((one) => option(one, SHOWS[one])));
  label.append(...survey.labels.map((one) => option(one, one)));
  by.append(...survey.reviewers.map((one) => option(one, one || "nobody named")));
  dialog.querySelector("#reviewer-field").hidden = Boolean(survey.reviewer);
  form.elements.reviewer.required = !survey.reviewer;
  for (const field of dialog.querySelectorAll("[data-telling]")) field.hidden = survey.is_blind;
  dialog.querySelector("#survey-line").textContent =
    `${survey.title}: ${survey.n_calls.toLocaleString("en")} calls` +
    (survey.is_blind ? "; scores and what others said stay hidden until you have judged a call" : "");
  for (const [name, value] of Object.entries(survey.choice)) form.elements[name].value = value ?? "";
  form.elements.reviewer.value = reviewer;
  order.addEventListener("change", offerSample);
  offerSample();
}

function offerSample() {
  form.elements.sample.disabled = form.elements.order.value !== "sample";
}

/** What the form says now. */
export function chosen() {
  const said = Object.fromEntries(new FormData(form));
  const numbers = ["low", "high", "sample"].map((name) => [name, said[name] ? Number(said[name]) : null]);
  return { ...said, ...Object.fromEntries(numbers), by: form.elements.by.selectedIndex > 0 ? said.by : null };
}

/** Ask; `begin` gets what was chosen, and may throw an error whose message is shown. */
export function ask(begin, isFirst) {
  problem.textContent = "";
  dialog.querySelector("[data-close]").hidden = isFirst;
  dialog.oncancel = (event) => isFirst && event.preventDefault();
  form.onsubmit = async (event) => {
    event.preventDefault();
    try {
      await begin(chosen());
      dialog.close();
    } catch (error) {
      problem.textContent = error.message;
    }
  };
  if (!dialog.open) dialog.showModal();
}
