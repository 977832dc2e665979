// What is known of the model, and how to ask for a picture to be removed.

import { byId, element, percent, say } from "./dom.js";
import * as server from "./server.js";
import { amongOffered, speak, words } from "./words.js";

const paragraph = (text) => element("p", { text });
const figure = (value) => (value === null ? "–" : value === 1 ? "100 %" : percent(value));

/** A table with names on the left and numbers beside; `rows` are lists of texts and numbers. */
function table(heads, rows) {
  const number = (text, column, kind, more = {}) => element(kind, { text, class: column ? "number" : null, ...more });
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": heads[0] }, element("table", {},
    element("thead", {}, element("tr", {}, ...heads.map((text, column) => number(text, column, "th", { scope: "col" })))),
    element("tbody", {}, ...rows.map(([name, ...values]) => element("tr", {},
      element("th", { scope: "row", text: name }),
      ...values.map((value) => number(value, 1, "td")))))));
}

function knows(card) {
  const told = card.description ? [paragraph(card.description)] : [];
  told.push(paragraph(card.date ? words("Run {run}, trained on {date}.", card) : words("Run {run}.", card)));
  told.push(paragraph(card.detector === "whole" ? words("It classifies whole images.") : words("It classifies the faces in an image.")));
  const splits = ["train", "val", "test"].filter((split) => card.classes.some((one) => one[split] !== null));
  const heads = { train: words("training"), val: words("validation"), test: words("test") };
  told.push(table([words("Class"), ...splits.map((split) => heads[split])],
    card.classes.map((one) => [one.name, ...splits.map((split) => one[split] ?? "–")])));
  if (splits.length) told.push(paragraph(words("Numbers of images, as recorded by the run.")));
  else told.push(paragraph(words("The numbers of training images are unknown: this is an exported file.")));
  return told;
}

/** What it does with pictures of no class of its own, and what that costs. */
function strange({ tells_strangers: tells, strangers, detector }) {
  if (!tells) return [paragraph(words("This model cannot answer “unknown”: every image gets one of its classes."))];
  const told = [paragraph(words("Images unlike the training images are “unknown”."))];
  if (strangers) {
    told.push(paragraph(words("On average at most {share} of the images of these classes become “unknown” (threshold chosen on {pictures} held-out images, {groups} groups).",
      { share: percent(strangers.on_average), pictures: strangers.count, groups: strangers.groups })));
    if (!["whole", "drawnface"].includes(detector)) {
      told.push(paragraph(words("This applies to faces found by {detector}; faces found only by drawnface are “unknown” more often.", { detector })));
    }
  }
  if (strangers?.strangers) {
    told.push(paragraph(words("Of {rejected} images of other things, {named} wrongly get a class.",
      { rejected: strangers.strangers, named: percent(1 - strangers.strangers_unknown / strangers.strangers) })));
  } else if (strangers) {
    told.push(paragraph(words("How many images of other things wrongly get a class was not measured: the dataset has no rejected images.")));
  }
  return told;
}

function measured(card) {
  const { measured: found, date, own_threshold: own, unknown_below: below } = card;
  if (!found) return [paragraph(words("Unknown: this is an exported file, or the run was not evaluated.")), ...strange(card)];
  const [low, high] = (found.interval ?? [null, null]).map(figure);
  const told = [paragraph(words("Accuracy: {accuracy} of {pictures} images.", { ...found, accuracy: figure(found.accuracy) }))];
  if (found.unknown) {
    told.push(paragraph(words("{unknown} were “unknown”, which counts as wrong; without this rule the accuracy is {before}.",
      { unknown: figure(found.unknown), before: figure(found.accuracy_before_unknown) })));
  }
  if (found.interval) {
    told.push(paragraph(words("95 % confidence interval: {low} to {high}.", { low, high })));
  }
  if (found.groups !== null) {
    told.push(paragraph(words("Counted by {groups} groups: images of one scene or post count as one.", found)));
  }
  if (found.few) told.push(paragraph(words("With so few groups, this is only a rough estimate.")));
  if (found.split === "test" && found.clear_of_copies) {
    told.push(paragraph(words("None of these images, nor a known near-duplicate, was used for training.")));
  } else if (found.split === "test") {
    told.push(paragraph(words("The training images may include near-duplicates of these images.")));
  } else told.push(paragraph(words("Only validation images were available, so the figures are too high.")));
  told.push(paragraph(words("Majority-class baseline: {share}.", { share: figure(found.commonest_class) })));
  told.push(...strange(card));
  if (date) told.push(paragraph(words("Evaluated on {date}.", { date })));
  if (own) told.push(paragraph(words("This page answers “unknown” below {share}, its own threshold, which was not evaluated.", { share: figure(below) })));
  told.push(table([words("Class"), words("precision"), words("recall"), words("images")],
    found.classes.map((one) => [one.name, figure(one.precision), figure(one.recall), one.pictures])));
  return told;
}

function sources({ learnt_from: from }) {
  if (!from) return [paragraph(words("Unknown: this model has no dataset here."))];
  const told = [paragraph(words("Trained on {images} images. An image found in two places counts in both.", from))];
  told.push(table([words("Source"), words("images")], Object.entries(from.sources)));
  const licences = Object.entries(from.licences);
  if (from.unlicensed) licences.push([words("unknown"), from.unlicensed]);
  told.push(table([words("Licence"), words("images")], licences));
  if (from.made_by_model) told.push(paragraph(words("{made_by_model} are AI-generated according to their source.", from)));
  if (from.gone) told.push(paragraph(words("{gone} more training images are no longer in the dataset.", from)));
  return told;
}

function removal(card) {
  const told = card.takes_requests
    ? [element("p", {}, element("a", { href: "./", text: words("Open the image on the page and choose “Report this image”.") })),
      paragraph(words("A person reviews the request. The image is then removed from the dataset for good and not used for the next training; this model stays unchanged until then."))]
    : [paragraph(words("This server has no images: ask its operator."))];
  if (card.contact) told.push(paragraph(words("Contact: {contact}", card)));
  return told;
}

function show(card) {
  speak(amongOffered(card.languages));
  say(byId("title"), card.title);
  document.title = [words("About this model"), card.title].filter(Boolean).join(" – ");
  const parts = { knows, measured, sources, removal };
  for (const [name, tell] of Object.entries(parts)) byId(`${name}-told`).replaceChildren(...tell(card));
}

speak();
try {
  show(await server.card());
} catch (error) {
  say(byId("message"), error.message);
}
