// Stripe's exponents differ from ISO 4217 for some currencies: it counts ISK and UGX in hundredths, although they have
// no smaller unit. https://docs.stripe.com/currencies#minor-units
const ZERO_DECIMAL = new Set("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split(" "));
const WHOLE = new Set(["isk", "ugx"]); // shown without decimals, unless an amount has some
const THREE_DECIMAL = new Set("bhd jod kwd omr tnd".split(" "));

/** Returns the number of decimals in a currency's amounts. */
export function exponent(currency) {
  if (ZERO_DECIMAL.has(currency)) return 0;
  return THREE_DECIMAL.has(currency) ? 3 : 2;
}

/** Returns an amount in minor units as text. The decimals are Stripe's: the browser has none for HUF, for example. */
export function formatMoney(minor, currency, locale = document.documentElement.lang) {
  const decimals = exponent(currency);
  const amount = minor / 10 ** decimals;
  const shown = WHOLE.has(currency) && Number.isInteger(amount) ? 0 : decimals;
  const options = { style: "currency", currency, minimumFractionDigits: shown, maximumFractionDigits: shown };
  return new Intl.NumberFormat(locale, options).format(amount);
}

/**
 * Returns an amount in minor units from what a person typed in the locale's way: digits, groups of three, decimals.
 * Everything else is null: signs, exponents, currencies, other separators, more decimals than the currency has, zero.
 */
export function parseAmount(text, currency, locale = document.documentElement.lang) {
  const decimals = exponent(currency);
  const parts = new Intl.NumberFormat(locale, { useGrouping: true, minimumFractionDigits: 1 }).formatToParts(1234567.8);
  const symbol = (type) => parts.find((part) => part.type === type)?.value ?? "";
  const group = symbol("group").replace(/\s/, " ");
  const typed = text.trim().replace(/\s/g, " ");
  const [whole, fraction = "", ...rest] = typed.split(symbol("decimal"));
  const digits = group ? whole.split(group) : [whole];
  const isGrouped = digits.length === 1 || (/^\d{1,3}$/.test(digits[0]) && digits.slice(1).every((part) => /^\d{3}$/.test(part)));
  const isFraction = typed.includes(symbol("decimal")) ? new RegExp(`^\\d{1,${decimals || 1}}$`).test(fraction) && decimals > 0 : true;
  if (rest.length || !isGrouped || !isFraction || !/^\d{1,12}$/.test(digits.join(""))) return null;
  const minor = Number(digits.join("") + fraction.padEnd(decimals, "0"));
  return Number.isSafeInteger(minor) && minor > 0 ? minor : null;
}
