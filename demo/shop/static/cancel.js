import { cancelCheckout, fetchConfig } from "./api.js";
import { clearAttempt } from "./cart.js";
import { byId } from "./dom.js";

const HEADS = { // by the page's state: badge and headline
  released: ["Not paid", "Nothing was charged."],
  closed: ["Completed", "Your order is already complete."],
  unknown: ["Unknown", "There is no such checkout."],
  problem: ["Not canceled", "We could not cancel your checkout."],
};
const REFUSALS = { // by HTTP status: the page's state and its text
  404: ["unknown", "We do not know this checkout. Your bag has not changed."],
  409: ["closed", "This order is already completed, so we cannot cancel it here."],
};
const checkoutId = new URLSearchParams(location.search).get("checkout_id");

async function releaseItems() {
  byId("again").hidden = true;
  try {
    await cancelCheckout((await fetchConfig()).checkout_url, checkoutId);
    show("released", "Your items are no longer reserved. Your bag has not changed.");
  } catch ({ status, message }) {
    byId("again").hidden = status in REFUSALS;
    show(...(REFUSALS[status] ?? ["problem", `${message} Without a cancellation, the reservation ends by itself.`]));
  }
}

function show(state, text) {
  byId("cancel").dataset.status = state;
  [byId("badge").textContent, byId("headline").textContent] = HEADS[state];
  byId("explanation").textContent = text;
}

clearAttempt(); // the old session is over, so the same bag needs a new one
byId("again").addEventListener("click", releaseItems);
if (checkoutId) releaseItems();
else show(...REFUSALS[404]);
