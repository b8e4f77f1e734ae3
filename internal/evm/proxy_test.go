package evm_test

import "github.com/ctrip-gateway/ctrip/internal/evm/evmtest"

type (
	changeFunc = evmtest.Change
	proxy      = evmtest.Proxy
	message    = evmtest.Message
	object     = evmtest.Object
)

const leaveOut = evmtest.LeaveOut

var (
	newProxy = evmtest.NewProxy
	forward  = evmtest.Forward
	result   = evmtest.Result
	each     = evmtest.Each
)
