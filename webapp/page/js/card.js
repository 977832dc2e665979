// The model card, and how to ask for an image to be removed.

import { byId, element, say } from "./dom.js";
import { percent } from "./layout.js";
import * as server from "./server.js";
import { askForToken } from "./token_form.js";
import { chooseOffered, setLanguage, translated, words } from "./words.js";

const SURE_CONFIDENCE = 0.5;
const MIN_COUNT = 20; // below, a share says more than is known
const paragraph = (text) => element("p", { text });
const formatCount = (count, total) => (total < MIN_COUNT ? `${count}/${total}` : percent(count / total));
const formatShare = (value) => (value === null ? "–" : value === 1 ? "100 %" : percent(value));

/** A table with names on the left and numbers beside; `rows` are lists of texts and numbers. */
function table(heads, rows) {
  const number = (text, column, kind, more = {}) => element(kind, { text, class: column ? "number" : null, ...more });
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": heads.join(", ") }, element("table", {},
    element("thead", {}, element("tr", {}, ...heads.map((text, column) => number(text, column, "th", { scope: "col" })))),
    element("tbody", {}, ...rows.map(([name, ...values]) => element("tr", {},
      element("th", { scope: "row", text: name }),
      ...values.map((value) => number(value, 1, "td")))))));
}

const add = (paragraphs, text) => paragraphs.push(paragraph(text));

function describeModel(card) {
  const paragraphs = card.description ? [paragraph(card.description)] : [];
  add(paragraphs, card.date ? words("Run {run}, trained on {date}.", card) : words("Run {run}.", card));
  add(paragraphs, card.detector === "whole" ? words("It classifies whole images.") : words("It classifies the faces in an image."));
  const splits = ["train", "val", "test"].filter((split) => card.classes.some((row) => row[split] !== null));
  const heads = { train: words("training"), val: words("validation"), test: words("test") };
  paragraphs.push(table([words("Class"), ...splits.map((split) => heads[split])],
    card.classes.map((row) => [row.name, ...splits.map((split) => row[split] ?? "–")])));
  if (splits.length) add(paragraphs, words("Numbers of images, as recorded by the run."));
  else add(paragraphs, words("The numbers of training images are unknown: this is an exported file."));
  return paragraphs;
}

/** The rule for unknown images and its cost. */
function describeUnknownRule({ has_unknown_rule: tells, unknown_rule: rule, detector }) {
  if (!tells) return [paragraph(words("This model cannot answer “unknown”: every image gets one of its classes."))];
  const paragraphs = [paragraph(words("Images unlike the training images are “unknown”."))];
  if (rule) {
    add(paragraphs, words("The threshold was chosen so that on average at most {share} of images of these classes become “unknown” (on {images} held-out images, {groups} groups); other images may differ.",
      { share: percent(rule.on_average), images: rule.count, groups: rule.groups }));
    const exceptions = rule.by_class.filter((each) => each.groups < rule.needed);
    if (exceptions.length) {
      const names = exceptions.map((each) => `\u2068${each.name}\u2069 (${each.count})`).join(", ");
      add(paragraphs, words("That is also held for each class, except those with too few held-out images: {names}.", { names }));
    }
    if (!["whole", "drawnface"].includes(detector)) {
      add(paragraphs, words("This applies to faces found by {detector}; faces found only by drawnface are “unknown” more often.", { detector }));
    }
  }
  if (rule?.left_out) {
    const share = formatCount(rule.left_out_unknown, rule.left_out);
    const classes = rule.left_out_classes;
    const [low, high] = (rule.left_out_interval ?? [0, 1]).map(percent);
    add(paragraphs, classes
      ? words("Of images of classes that it had not learned, {share} were “unknown” ({low} to {high}; {classes} classes left out of training in turn).", { share, low, high, classes })
      : words("Of images of classes that it had not learned, {share} were “unknown” (classes left out of training in turn; a rough estimate, often too high, because they are few).", { share }));
    if (rule.left_out_sure !== null) add(paragraphs, words("At most {share} got a class with a confidence of 50 % or more.", { share: formatCount(rule.left_out_sure, rule.left_out) }));
  }
  if (rule?.rejected) {
    const named = rule.rejected - rule.rejected_unknown;
    add(paragraphs, words("Images of other things that wrongly get a class: {named} of {rejected}.",
      { rejected: rule.rejected, named: rule.rejected < MIN_COUNT ? named : percent(named / rule.rejected) }));
    if (rule.rejected_sure !== null) add(paragraphs, words("With a confidence of 50 % or more: {share}.", { share: formatCount(rule.rejected_sure, rule.rejected) }));
  } else if (rule && !rule.left_out) {
    add(paragraphs, words("How many images of other things wrongly get a class was not measured: the dataset has no rejected images."));
  }
  return paragraphs;
}

function describeMetrics(card) {
  const { measured: metrics, date, own_threshold: own, unknown_below: below } = card;
  if (!metrics) return [paragraph(words("Unknown: this is an exported file, or the run was not evaluated.")), ...describeUnknownRule(card)];
  const [low, high] = (metrics.interval ?? [null, null]).map(formatShare);
  const paragraphs = [paragraph(words("Accuracy: {accuracy} of {images} images.", { ...metrics, accuracy: formatShare(metrics.accuracy) }))];
  if (metrics.untested.length) {
    add(paragraphs, words("Images of only {tested} of {all} classes were tested; nothing is known of the others: {names}.",
      { tested: metrics.classes.length - metrics.untested.length, all: metrics.classes.length, names: metrics.untested.join(", ") }));
  }
  if (metrics.unknown) {
    add(paragraphs, words("{unknown} of these images were “unknown”, which counts as wrong; without this rule the accuracy is {before}.",
      { unknown: formatShare(metrics.unknown), before: formatShare(metrics.accuracy_before_unknown) }));
  }
  const isNeverUnsure = own && below >= SURE_CONFIDENCE;
  if (metrics.unsure && !isNeverUnsure) {
    add(paragraphs, words("{unsure} of these images get a class with a confidence below 50 %, {right} of them the right one: the page adds a question mark, and programs get no answer.",
      { unsure: metrics.unsure, right: metrics.unsure_right }));
  }
  if (metrics.interval) {
    add(paragraphs, words("95 % confidence interval: {low} to {high}.", { low, high }));
  }
  if (metrics.groups !== null) {
    add(paragraphs, words("Counted by {groups} groups: images of one scene or post count as one.", metrics));
  }
  if (metrics.small_sample) add(paragraphs, words("With so few groups, this is only a rough estimate."));
  if (metrics.split === "test" && metrics.clear_of_copies) {
    add(paragraphs, words("None of these images, nor a known near-duplicate, was used for training."));
  } else if (metrics.split === "test") {
    add(paragraphs, words("The training images may include near-duplicates of these images."));
  } else add(paragraphs, words("Only validation images were available, so the figures are too high."));
  add(paragraphs, words("Majority-class baseline: {share}.", { share: formatShare(metrics.commonest_class) }));
  paragraphs.push(...describeUnknownRule(card));
  if (date) add(paragraphs, words("Evaluated on {date}.", { date }));
  if (own) add(paragraphs, words("This page answers “unknown” below {share}, its own threshold, which was not evaluated.", { share: formatShare(below) }));
  paragraphs.push(table([words("Class"), words("precision"), words("recall"), words("images")],
    metrics.classes.map((row) => [row.name, formatShare(row.precision), formatShare(row.recall), row.images])));
  return paragraphs;
}

function describeSources({ learnt_from: from }) {
  if (!from) return [paragraph(words("Unknown: this model has no dataset here."))];
  const paragraphs = [paragraph(words("Training images: {images}. An image found in two places counts in both.", from))];
  paragraphs.push(table([words("Source"), words("images")], Object.entries(from.sources)));
  const licences = Object.entries(from.licences);
  if (from.unlicensed) licences.push([words("unknown"), from.unlicensed]);
  paragraphs.push(table([words("Licence"), words("images")], licences));
  if (from.made_by_model) add(paragraphs, words("AI-generated according to their source: {made_by_model}.", from));
  if (from.gone) add(paragraphs, words("Other training images, no longer in the dataset: {gone}.", from));
  return paragraphs;
}

function describeRemoval(card) {
  const paragraphs = card.takes_requests
    ? [element("p", {}, element("a", { href: "./", text: words("Open the image on the page and choose “Report or remove this image”.") })),
      paragraph(words("A person reviews the request. The image is then removed from the dataset for good and not used for the next training; this model stays unchanged until then."))]
    : [paragraph(card.contact ? words("This page takes no requests: ask its operator.") : words("This page takes no requests, and its operator names no contact."))];
  if (card.contact) add(paragraphs, words("Contact: {contact}", card));
  return paragraphs;
}

function show(card) {
  setLanguage(chooseOffered(card.languages));
  say(byId("title"), card.title);
  document.title = [words("About this model"), card.title].filter(Boolean).join(" – ");
  const parts = { knows: describeModel, measured: describeMetrics, sources: describeSources, removal: describeRemoval };
  for (const [name, describe] of Object.entries(parts)) byId(`${name}-text`).replaceChildren(...describe(card));
}

setLanguage();
try {
  show(await server.card());
} catch (error) {
  say(byId("message"), error.message);
  if (error.status === 401) askForToken(error, translated("Token"), "./");
}
