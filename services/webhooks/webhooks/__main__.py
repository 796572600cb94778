"""python -m webhooks web"""

from events.cli import service_cli

from webhooks.config import load

main = service_cli("webhooks", load=load, app="webhooks.app:create_wsgi")

if __name__ == "__main__":
    main()
