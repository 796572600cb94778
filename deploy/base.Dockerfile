# The base of all images, with its digest. Releases and audits use it as PYTHON_IMAGE, and Dependabot updates it.
# Builds on a developer's machine use the same name without the digest: see the first line of deploy/Dockerfile.
# It builds nothing.
FROM python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b
