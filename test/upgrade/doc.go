// Package upgrade replaces the processes of an older version by those of this tree one by one, while they work, on one
// database. The commit of the older version is in the file baseline; it is built from the history.
package upgrade
