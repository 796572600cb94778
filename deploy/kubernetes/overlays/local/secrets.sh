#!/bin/sh
# Creates the manifests' secrets from the files that `make secrets` wrote. Can be repeated.
set -eu
cd "$(dirname "$0")/../../../../.secrets"
kubectl create namespace clozit --dry-run=client -o yaml | kubectl apply -f -
secret() {
  name=$1
  shift
  kubectl -n clozit create secret generic "$name" "$@" --dry-run=client -o yaml | kubectl apply -f -
}
for service in checkout orders inventory; do
  case $service in
    checkout) more="--from-file=SERVICE_TOKEN=service_token --from-file=STRIPE_API_KEY=stripe_api_key" ;;
    orders) more="--from-file=STRIPE_API_KEY=stripe_api_key" ;;
    inventory) more="--from-file=SERVICE_TOKEN=service_token" ;;
  esac
  # shellcheck disable=SC2086 - several arguments
  secret "$service" --from-file=DATABASE_URL="${service}_database_url" --from-file=BROKER_URL="${service}_broker_url" \
    --from-file=OPERATOR_TOKENS=operator_tokens $more
done
secret notifications --from-file=DATABASE_URL=notifications_database_url \
  --from-file=BROKER_URL=notifications_broker_url --from-file=OPERATOR_TOKENS=operator_tokens \
  --from-file=SMTP_URL=smtp_url --from-file=UNSUBSCRIBE_SECRET=unsubscribe_secret
secret webhooks --from-file=BROKER_URL=webhooks_broker_url --from-file=STRIPE_WEBHOOK_SECRETS=stripe_webhook_secrets
secret webhooks-declare --from-file=BROKER_URL=admin_broker_url
secret webhooks-backfill --from-file=STRIPE_API_KEY=stripe_api_key
secret postgres --from-file=password=postgres_password --from-file=checkout_database_url \
  --from-file=orders_database_url --from-file=inventory_database_url --from-file=notifications_database_url
secret rabbitmq --from-file=rabbitmq_definitions.json
