"""Updates of an object's fields. Their events have the old values."""

from .account import Account, Cause
from .store import Object

EVENTS = {  # by kind; an update of any other kind (session, payment intent) emits no event
    "product": ("product.updated",),
    "price": ("price.updated",),
    "tax_rate": ("tax_rate.updated",),
    "coupon": ("coupon.updated",),
    "promotion_code": ("promotion_code.updated",),
    "charge": ("charge.updated",),
    "refund": ("refund.updated", "charge.refund.updated"),
}


def update(account: Account, obj: Object, params: Object, cause: Cause) -> Object:
    """Change an object's fields and emit its update events, if anything changed."""
    before = apply_changes(obj, {name: value for name, value in params.items() if name != "expand"})
    if before and "updated" in obj:
        before["updated"], obj["updated"] = obj["updated"], account.now()
    for type_ in EVENTS.get(obj["object"], ()) if before else ():
        account.emit(type_, obj, before, cause)
    return obj


def apply_changes(obj: Object, wanted: Object) -> Object:
    """Change an object's fields, merge its metadata, and return the changed fields' old values."""
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
