package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// reaperScript reads orders, one a line, until its input ends, which happens when the process that holds the other end
// is gone, however it went. Then it signals what is still alive, waits up to ten seconds (not for zombies, which some
// containers never collect), kills the rest and removes the directories.
const reaperScript = `
trap '' HUP INT TERM
live=
while read -r verb rest; do
	case $verb in
	start)
		case ${rest%:*} in '' | [01] | -[01]) continue ;; esac
		live="$live $rest"
		;;
	stop)
		kept=
		for l in $live; do [ "${l%:*}" = "$rest" ] || kept="$kept $l"; done
		live=$kept
		;;
	keepdir) set -- "$@" "$rest" ;;
	esac
done
for l in $live; do kill -s "${l#*:}" -- "${l%:*}"; done
n=0
while [ $n -lt 100 ]; do
	left=
	for l in $live; do
		case $l in *:KILL) continue ;; esac
		kill -s 0 -- "${l%:*}" || continue
		case $(cat "/proc/${l%:*}/stat") in *') Z '*) ;; *) left=1 ;; esac
	done
	[ -n "$left" ] || break
	sleep 0.1
	n=$((n + 1))
done
for l in $live; do kill -s KILL -- "${l%:*}"; done
for d in "$@"; do rm -rf -- "$d" || { sleep 1; rm -rf -- "$d"; }; done
`

// reaper is the pipe to the shell that outlives this process by a moment. The zero value starts the shell when first
// used.
type reaper struct {
	mu   sync.Mutex
	pipe *os.File
}

// orphans is this process's reaper.
var orphans reaper

// watch makes the reaper send signal (QUIT, KILL, …) to pid, or to the group -pid, when this process has ended.
func (r *reaper) watch(pid int, signal string) error {
	if err := checkPID(pid); err != nil {
		return err
	}
	return r.order("start", fmt.Sprintf("%d:%s", pid, signal))
}

// forget takes a pid that has ended from the list, so that its number may be used again by someone else.
func (r *reaper) forget(pid int) error { return r.order("stop", fmt.Sprint(pid)) }

// removeAtEnd makes the reaper remove dir when this process has ended.
func (r *reaper) removeAtEnd(dir string) error { return r.order("keepdir", dir) }

func (r *reaper) order(verb, arg string) error {
	if strings.ContainsAny(arg, "\n\\") {
		return fmt.Errorf("testkit: cannot hand %q to the reaper", arg)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pipe == nil {
		if err := r.start(); err != nil {
			return fmt.Errorf("testkit: start reaper: %w", err)
		}
	}
	if _, err := fmt.Fprintf(r.pipe, "%s %s\n", verb, arg); err != nil {
		return fmt.Errorf("testkit: reaper: %w", err)
	}
	return nil
}

func (r *reaper) start() error {
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	cmd := exec.Command("sh", "-c", reaperScript, "reaper")
	cmd.Stdin = in
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // out of reach of a Ctrl-C that ends the tests
	if err := cmd.Start(); err != nil {
		out.Close()
		return err
	}
	r.pipe = out
	return cmd.Process.Release()
}
