#!/usr/bin/env bash
# go-redis v9.23.0 on Go 1.26: every package that can reach a client by its types compiles all of the client's methods
# once more.
#
# Since v9.23.0 the client keeps a weak.Pointer to its own wrapper, weak.Pointer[Client]. The compiler instantiates a
# generic type wherever a package can reach it, and the shape of Client embeds the type that has all the commands. So a
# package whose only line is a struct field of the type redis.UniversalClient holds some 1,470 functions of wrappers
# and an object file of 9 MB, where v9.22.0 gives it a handful and 1 MB. Here that was 3 to 5 CPU seconds of compiling
# more for each importer, those of Asynq and asynqmon among them: 28 of the 380 that a whole program took.
#
# It needs Go 1.26 and its module proxy. It exits with 0 while the behaviour is as described.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module example.org/importer

go 1.26
MOD
cat >importer.go <<'GO'
package importer

import "github.com/redis/go-redis/v9"

// Service holds a client, as packages do, and calls nothing.
type Service struct{ Redis redis.UniversalClient }
GO
go version
functions=()
for version in v9.22.0 v9.23.0; do
	go get "github.com/redis/go-redis/v9@$version" 2>/dev/null
	go build -o importer.a .
	functions+=("$(go tool nm importer.a | grep -c ' T go\.shape')")
	echo "go-redis $version: an object file of $(wc -c <importer.a) bytes with ${functions[-1]} functions of generic shapes"
done
[ "${functions[0]}" -lt 100 ] && [ "${functions[1]}" -gt 1000 ]
