"""An index for the list of products in a currency. SQLite has no such kind of index, and reads the products."""

from events.database.indexes import create_index, drop_index

revision = "0006"
down_revision = "0005"
NAME = "ix_products_prices"


def upgrade() -> None:
    create_index(NAME, "products", ["prices"], postgresql_using="gin")


def downgrade() -> None:
    drop_index(NAME, "products")
