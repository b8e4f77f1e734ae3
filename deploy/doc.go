// Package deploy holds what a deployment is made of, and the tests that hold the Dockerfile and docker-compose.yml at
// the root to their rules. It has no code that ships.
package deploy
