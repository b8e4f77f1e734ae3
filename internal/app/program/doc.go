// Package program is what the main functions of the production programs share. It links what only they need, so that
// the quickstart, which is the same gateway in a toy world, does not.
package program
