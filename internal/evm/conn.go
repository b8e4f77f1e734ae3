package evm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/rpc"
)

// conn is a provider's node as a question sees it. Its calls keep to the provider's pace, and its batches are no larger
// than the provider takes.
type conn struct {
	pr      *provider
	client  *rpc.Client
	timeout time.Duration // of one request
}

// call makes one call.
func (n *conn) call(ctx context.Context, result any, method string, args ...any) error {
	if err := n.pr.pace.wait(ctx, 1); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	return n.pr.heed(n.client.CallContext(ctx, result, method, args...))
}

// callAll makes several calls in as few requests as the provider takes. It fails when any of them does, an answer that
// is left out included.
//
// A batch can fail because of a call in it or because of its size, and providers word the second in many ways. So after
// a failure one of the calls is made alone. When it fails too, the error is its own. When it does not, the batch was
// too large: the rest is asked for in halves, down to single calls, and the size is remembered.
func (n *conn) callAll(ctx context.Context, calls []rpc.BatchElem) error {
	pending := make([]*rpc.BatchElem, len(calls))
	for i := range calls {
		pending[i] = &calls[i]
	}
	for len(pending) > 0 {
		size := min(len(pending), n.pr.limit(batchSize))
		if size == 1 {
			if err := n.single(ctx, pending[0]); err != nil {
				return err
			}
			pending = pending[1:]
			continue
		}
		failed, err := n.batch(ctx, pending[:size])
		if len(failed) == 0 {
			pending = pending[size:]
			continue
		}
		if ctx.Err() != nil || errors.As(err, new(*throttledError)) {
			return err
		}
		if err := n.single(ctx, failed[0]); err != nil {
			return err
		}
		answered := size - len(failed)
		if answered == 0 {
			answered = size / 2
		}
		n.pr.learn(batchSize, answered)
		pending = append(failed[1:], pending[size:]...)
	}
	return nil
}

func (n *conn) single(ctx context.Context, call *rpc.BatchElem) error {
	return n.call(ctx, call.Result, call.Method, call.Args...)
}

// batch puts calls into one request and returns those that failed, with the error of the first.
func (n *conn) batch(ctx context.Context, calls []*rpc.BatchElem) (failed []*rpc.BatchElem, err error) {
	if err := n.pr.pace.wait(ctx, len(calls)); err != nil {
		return calls, err
	}
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	elems := make([]rpc.BatchElem, len(calls))
	for i, call := range calls {
		elems[i] = rpc.BatchElem{Method: call.Method, Args: call.Args, Result: call.Result}
	}
	if err := n.pr.heed(n.client.BatchCallContext(ctx, elems)); err != nil {
		return calls, err
	}
	for i, e := range elems {
		if e.Error == nil {
			continue
		}
		if failed = append(failed, calls[i]); err == nil {
			err = n.pr.heed(fmt.Errorf("%s: %w", e.Method, e.Error))
		}
	}
	return failed, err
}
