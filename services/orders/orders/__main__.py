"""python -m orders web | worker | migrate | inbox"""

from events.cli import service_cli

from orders.config import load
from orders.models import CHAINS
from orders.worker import create_worker

main = service_cli("orders", load=load, app="orders.app:create_wsgi", create_worker=create_worker, chains=CHAINS)

if __name__ == "__main__":
    main()
