// Options dialog: which detections to review, in which order.

const ORDERS = {
  highest: "Highest score first",
  lowest: "Lowest score first",
  threshold: "Nearest to the threshold first",
  time: "By time",
  recording: "By recording",
  sample: "Random sample, to estimate precision",
};
const REVIEW_FILTERS = {
  unreviewed: "Unreviewed detections",
  "not-by-me": "Detections that I have not reviewed",
  mine: "Detections that I reviewed",
  yes: "Reviewed: yes",
  no: "Reviewed: no",
  maybe: "Reviewed: maybe",
  disagreed: "Detections on which reviewers disagree",
  all: "All detections",
};
const NUMBER_FIELDS = ["lowest_score", "highest_score", "sample_size"];

const dialog = document.querySelector("#options");
const form = dialog.querySelector("form");
const errorText = dialog.querySelector("#options-error");

function optionElement(value, text) {
  return Object.assign(document.createElement("option"), { value, textContent: text });
}

/** Fill the form with the choices that the survey offers, and with its defaults. */
export function fillForm(survey, reviewer) {
  const fields = form.elements;
  fields.order.replaceChildren(...survey.orders.map((order) => optionElement(order, ORDERS[order])));
  const filters = survey.review_filters.map((filter) => optionElement(filter, REVIEW_FILTERS[filter]));
  fields.review_filter.replaceChildren(...filters);
  fields.label.append(...survey.labels.map((label) => optionElement(label, label)));
  fields.reviewed_by.append(...survey.reviewers.map((name) => optionElement(name, name || "unnamed reviewer")));
  dialog.querySelector("#reviewer-field").hidden = Boolean(survey.reviewer);
  fields.reviewer.required = !survey.reviewer;
  for (const field of dialog.querySelectorAll("[data-reveals]")) field.hidden = survey.is_blind;
  dialog.querySelector("#survey-line").textContent =
    `${survey.title}: ${survey.n_detections.toLocaleString("en")} detections` +
    (survey.is_blind ? "; scores and other reviews stay hidden until you have reviewed a detection" : "");
  for (const [name, value] of Object.entries(survey.queue_options)) fields[name].value = value ?? "";
  fields.reviewer.value = reviewer;
  fields.order.addEventListener("change", enableSampleSize);
  enableSampleSize();
}

function enableSampleSize() {
  form.elements.sample_size.disabled = form.elements.order.value !== "sample";
}

/** The current values of the form. */
export function formValues() {
  const values = Object.fromEntries(new FormData(form));
  const numbers = NUMBER_FIELDS.map((name) => [name, values[name] ? Number(values[name]) : null]);
  const reviewed_by = form.elements.reviewed_by.selectedIndex > 0 ? values.reviewed_by : null;
  return { ...values, ...Object.fromEntries(numbers), reviewed_by };
}

/** Open the dialog; `onSubmit` gets the form's values, and may throw an error whose message is shown. */
export function openDialog(onSubmit, isFirst) {
  errorText.textContent = "";
  dialog.querySelector("[data-close]").hidden = isFirst;
  dialog.oncancel = (event) => isFirst && event.preventDefault();
  form.onsubmit = async (event) => {
    event.preventDefault();
    try {
      await onSubmit(formValues());
      dialog.close();
    } catch (error) {
      errorText.textContent = error.message;
    }
  };
  if (!dialog.open) dialog.showModal();
}
