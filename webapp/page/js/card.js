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
  told.push(paragraph(card.detector === "whole" ? words("It judges pictures as a whole.") : words("It judges the faces in a picture.")));
  const splits = ["train", "val", "test"].filter((split) => card.classes.some((one) => one[split] !== null));
  const heads = { train: words("learnt from"), val: words("watched by"), test: words("judged by") };
  told.push(table([words("Class"), ...splits.map((split) => heads[split])],
    card.classes.map((one) => [one.name, ...splits.map((split) => one[split] ?? "–")])));
  if (splits.length) told.push(paragraph(words("Numbers of pictures, as the run itself recorded them.")));
  else told.push(paragraph(words("How many pictures of each it learnt from is not known here: this is an exported file.")));
  return told;
}

/** What it does with pictures of no class of its own, and what that costs. */
function strange({ tells_strangers: tells, strangers, detector }) {
  if (!tells) return [paragraph(words("It cannot tell strangers: whatever it is shown gets one of its names."))];
  const told = [paragraph(words("What is unlike all that it learnt from is “unknown”."))];
  if (strangers) {
    told.push(paragraph(words("Of pictures of these classes at most {share} are unknown by that, on average: chosen by {pictures} pictures that were not learnt from, of {moments} moments.",
      { share: percent(strangers.on_average), pictures: strangers.count, moments: strangers.moments })));
    if (!["whole", "drawnface"].includes(detector)) {
      told.push(paragraph(words("That holds for faces that {detector} finds: of those that only drawnface finds more are unknown.", { detector })));
    }
  }
  if (strangers?.strangers) {
    told.push(paragraph(words("Of {rejected} pictures of anything else, {named} get one of its names by mistake.",
      { rejected: strangers.strangers, named: percent(1 - strangers.strangers_unknown / strangers.strangers) })));
  } else if (strangers) {
    told.push(paragraph(words("How many pictures of anything else get one of its names was not measured: nothing was rejected in its dataset.")));
  }
  return told;
}

function measured(card) {
  const { measured: found, date, own_threshold: own, unknown_below: below } = card;
  if (!found) return [paragraph(words("Not known here: this is an exported file, or its run was not judged.")), ...strange(card)];
  const [low, high] = (found.interval ?? [null, null]).map(figure);
  const told = [paragraph(words("{accuracy} of {pictures} pictures right.", { ...found, accuracy: figure(found.accuracy) }))];
  if (found.unknown) {
    told.push(paragraph(words("{unknown} were answered “unknown”, which counts as not right; without that rule {before} are right.",
      { unknown: figure(found.unknown), before: figure(found.accuracy_before_unknown) })));
  }
  if (found.interval) {
    told.push(paragraph(words("With other pictures of the same kind probably {low} to {high} (95 % interval).", { low, high })));
  }
  if (found.moments !== null) {
    told.push(paragraph(words("Counted in {moments} moments: pictures of one scene or post count as one.", found)));
  }
  if (found.few) told.push(paragraph(words("So few moments give only a rough guess.")));
  if (found.split === "test" && found.clear_of_copies) {
    told.push(paragraph(words("It had learnt from none of these pictures, nor from a near copy that was found.")));
  } else if (found.split === "test") {
    told.push(paragraph(words("Near copies of these pictures may be among those it learnt from.")));
  } else told.push(paragraph(words("No others were there than those that its training was watched by: the figures are too good.")));
  told.push(paragraph(words("Always naming the commonest class gets {share}.", { share: figure(found.commonest_class) })));
  told.push(...strange(card));
  if (date) told.push(paragraph(words("Measured on {date}.", { date })));
  if (own) told.push(paragraph(words("This page says “unknown” below {share}: a threshold of its own, with which nothing was measured.", { share: figure(below) })));
  told.push(table([words("Class"), words("right when named"), words("found of its pictures"), words("pictures")],
    found.classes.map((one) => [one.name, figure(one.precision), figure(one.recall), one.pictures])));
  return told;
}

function sources({ learnt_from: from }) {
  if (!from) return [paragraph(words("Not known here: there is no dataset beside this model."))];
  const told = [paragraph(words("It learnt from {images} pictures. One that was found in two places counts in both.", from))];
  told.push(table([words("Source"), words("pictures")], Object.entries(from.sources)));
  const licences = Object.entries(from.licences);
  if (from.unlicensed) licences.push([words("unknown"), from.unlicensed]);
  told.push(table([words("Licence"), words("pictures")], licences));
  if (from.made_by_model) told.push(paragraph(words("{made_by_model} are said by their source to be made by a model.", from)));
  if (from.gone) told.push(paragraph(words("{gone} more that it learnt from are not in the dataset any longer.", from)));
  return told;
}

function removal(card) {
  const told = card.takes_requests
    ? [element("p", {}, element("a", { href: "./", text: words("Open the picture on the page and choose “Report this picture”.") })),
      paragraph(words("A person looks at it. The picture then leaves the dataset for good, and the next training does without it; this model stays as it is until then."))]
    : [paragraph(words("This server has no pictures: ask whoever runs it."))];
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
