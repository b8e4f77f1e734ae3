// Package evmtest is a JSON-RPC proxy before a node, with which tests change what the node answers.
package evmtest
