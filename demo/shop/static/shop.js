import { fetchConfig, fetchProducts } from "./api.js";
import { setProducts, showBag } from "./bag.js";
import { cart, reloadCart, updateCart } from "./cart.js";
import { checkOut, setBusy } from "./checkout.js";
import { byId } from "./dom.js";
import { showGrid } from "./grid.js";

const TOAST_MS = 4000;
let config;
let toastTimer;

async function refresh() {
  const products = await fetchProducts(config.checkout_url, cart.currency);
  setProducts(products, config.shipping_options);
  showGrid(products, showAdded);
}

async function refreshOrShowProblem() {
  try {
    config ??= await loadConfig();
    await refresh();
    byId("grid-problem").textContent = "";
  } catch (problem) {
    byId("grid-problem").textContent = problem.message;
  }
}

async function loadConfig() {
  const loaded = await fetchConfig();
  if (!loaded.currencies.includes(cart.currency)) updateCart({ currency: loaded.currencies[0] });
  byId("currency").replaceChildren(...loaded.currencies.map((code) => new Option(code.toUpperCase(), code)));
  byId("currency").value = cart.currency;
  return loaded;
}

function showAdded(message) {
  clearTimeout(toastTimer);
  byId("toast").textContent = message;
  toastTimer = setTimeout(() => { byId("toast").textContent = ""; }, TOAST_MS);
  showBag();
}

byId("currency").addEventListener("change", ({ target }) => {
  updateCart({ currency: target.value });
  refreshOrShowProblem();
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
  if (persisted) setBusy(false); // back from the payment page
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden || byId("bag").open) return;
  reloadCart();
  refreshOrShowProblem(); // the stock may have changed
});

await refreshOrShowProblem();
if (location.hash === "#bag" && config) byId("bag").showModal();
