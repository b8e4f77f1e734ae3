// Package admin is what ctripctl does, a file a command group, over the same services that the API uses.
//
// It promises that every change that an operator makes is refused by the same rules as a merchant's, and writes its
// audit line, with the operator's name, in the transaction of the change; that [Examine] only reads; that [Verify] and
// [Sign] need no database and no network; and that results are plain structs whose JSON keys do not change.
//
// It prints nothing, parses no flags and reads no environment: that is internal/cli. Secrets appear in
// the results of the calls that make them and nowhere else.
package admin
