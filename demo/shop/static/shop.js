import { products, settings } from "./api.js";
import { showBag, stockBag } from "./bag.js";
import { cart, keep, reread } from "./cart.js";
import { busy, checkOut } from "./checkout.js";
import { byId } from "./dom.js";
import { showGrid } from "./grid.js";

const TOAST_MS = 4000;
let config;
let toastEnds;

async function refresh() {
  const list = await products(config.checkout_url, cart.currency);
  stockBag(list, config.shipping_options);
  showGrid(list, say);
}

async function refreshOrSay() {
  try {
    config ??= await start();
    await refresh();
    byId("grid-problem").textContent = "";
  } catch (problem) {
    byId("grid-problem").textContent = problem.message;
  }
}

async function start() {
  const found = await settings();
  if (!found.currencies.includes(cart.currency)) keep({ currency: found.currencies[0] });
  byId("currency").replaceChildren(...found.currencies.map((code) => new Option(code.toUpperCase(), code)));
  byId("currency").value = cart.currency;
  return found;
}

function say(words) {
  clearTimeout(toastEnds);
  byId("toast").textContent = words;
  toastEnds = setTimeout(() => { byId("toast").textContent = ""; }, TOAST_MS);
  showBag();
}

byId("currency").addEventListener("change", ({ target }) => {
  keep({ currency: target.value });
  refreshOrSay();
});
byId("open-bag").addEventListener("click", () => byId("bag").showModal());
byId("close-bag").addEventListener("click", () => byId("bag").close());
byId("discount_code").addEventListener("input", ({ target }) => {
  byId("discount-note").hidden = !target.value.trim();
});
byId("checkout").addEventListener("submit", (event) => {
  event.preventDefault();
  checkOut(config.checkout_url, refresh);
});
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) busy(false); // back from the payment page
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden || byId("bag").open) return;
  reread();
  refreshOrSay(); // others have been shopping
});

await refreshOrSay();
if (location.hash === "#bag" && config) byId("bag").showModal();
