const CART = "clozit.cart";
const ATTEMPT = "clozit.attempt";

const read = (storage, key) => JSON.parse(storage.getItem(key) ?? "null");
const write = (storage, key, value) => storage.setItem(key, JSON.stringify(value));

/** What the customer wants: {items: {sku: quantity}, currency, shipping_option}. Outlives the tab. */
export const cart = { items: {}, currency: null, shipping_option: null, ...read(localStorage, CART) };

export const quantity = (sku) => cart.items[sku] ?? 0;
export const pieces = () => Object.values(cart.items).reduce((sum, count) => sum + count, 0);

export const reread = () => Object.assign(cart, read(localStorage, CART)); // another tab may have changed it

export function keep(changes) {
  Object.assign(cart, changes);
  write(localStorage, CART, cart);
}

export function put(sku, count) {
  const { [sku]: _, ...others } = cart.items;
  keep({ items: count > 0 ? { ...cart.items, [sku]: count } : others });
}

/** Empties the bag that was paid in this session; a newer one stays as it is, however often the page is shown. */
export function bought(session_id) {
  if (read(sessionStorage, ATTEMPT)?.session_id !== session_id) return;
  keep({ items: {} });
  forgetAttempt();
}

/** This very order has one idempotency key: a double click or a reload asks for the same session again.
 *  replaced: the unpaid checkout of an earlier order, which still holds pieces that this one may want. */
export function attempt(order) {
  const wanted = JSON.stringify(order);
  const last = read(sessionStorage, ATTEMPT);
  const alive = !last?.expires_at || Date.parse(last.expires_at) > Date.now();
  if (last?.wanted === wanted && alive) return last;
  const next = { wanted, key: crypto.randomUUID(), replaced: last?.checkout_id ?? last?.replaced };
  write(sessionStorage, ATTEMPT, next);
  return next;
}

export function attemptStarted({ checkout_id, session_id, expires_at }) {
  write(sessionStorage, ATTEMPT, { ...read(sessionStorage, ATTEMPT), checkout_id, session_id, expires_at });
}

export const forgetAttempt = () => sessionStorage.removeItem(ATTEMPT);
