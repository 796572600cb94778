"""Updates of what describes an object; the event names what changed from what."""

from .account import Account, Cause
from .state import Object

# Kinds whose description may change silently (sessions, payment intents) are not here.
EVENTS = {
    "product": ("product.updated",),
    "price": ("price.updated",),
    "tax_rate": ("tax_rate.updated",),
    "coupon": ("coupon.updated",),
    "promotion_code": ("promotion_code.updated",),
    "charge": ("charge.updated",),
    "refund": ("refund.updated", "charge.refund.updated"),
}


def update(account: Account, obj: Object, params: Object, cause: Cause) -> Object:
    before = change(obj, {name: value for name, value in params.items() if name != "expand"})
    if before and "updated" in obj:
        before["updated"], obj["updated"] = obj["updated"], account.now()
    for type_ in EVENTS.get(obj["object"], ()) if before else ():
        account.emit(type_, obj, before, cause)
    return obj


def change(obj: Object, wanted: Object) -> Object:
    """Apply the changes; returns the former values of what changed."""
    before: Object = {}
    if metadata := wanted.pop("metadata", None):
        changed = {
            key: obj["metadata"].get(key) for key, value in metadata.items() if obj["metadata"].get(key) != value
        }
        merged = {**obj["metadata"], **metadata}
        obj["metadata"] = {key: value for key, value in merged.items() if value != ""}
        before = {"metadata": changed} if changed else {}
    for name, value in wanted.items():
        if obj[name] != value:
            before[name], obj[name] = obj[name], value
    return before
