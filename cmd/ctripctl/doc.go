// Command ctripctl is the tool of merchants and operators; internal/cli holds its commands.
package main
