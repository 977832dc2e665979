// Small helpers for the page's elements. Text is only ever set as text, never as markup.

export const byId = (id) => document.getElementById(id);

/** Make an element with attributes (`on...` are listeners, `text` its text) and children; false ones are left out. */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") node.textContent = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== false));
  return node;
}

/** Show an element with a text, or hide it where the text is empty. */
export function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
  place.hidden = !text;
}

/** Give an element these children; what is there already stays, so that no press on it is lost. */
export function fill(place, children) {
  const isSame = place.childNodes.length === children.length && children.every((child, at) => child.isEqualNode(place.childNodes[at]));
  if (!isSame) place.replaceChildren(...children);
}

/** Give the focus to the first of some elements that can take it, where what had it is gone: it never falls to the page. */
export function rescueFocus(...places) {
  const canFocus = (place) => place?.isConnected && !place.disabled && place.getClientRects().length > 0;
  const { activeElement } = document;
  if (activeElement === document.body || !canFocus(activeElement)) places.find(canFocus)?.focus({ preventScroll: true });
}
