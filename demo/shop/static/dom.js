export const byId = (id) => document.getElementById(id);

/** A copy of a template's element, and its named parts filled with words. */
export function copy(template, words) {
  const node = byId(template).content.firstElementChild.cloneNode(true);
  const parts = {};
  for (const part of node.querySelectorAll("[data-part]")) {
    part.textContent = words[part.dataset.part] ?? "";
    parts[part.dataset.part] = part;
  }
  return { node, parts };
}

/** Replaces a list's children without taking the keyboard's focus away. */
export function refill(list, nodes) {
  const focused = document.activeElement?.id;
  list.replaceChildren(...nodes);
  if (focused) byId(focused)?.focus();
}
