// Package limits bounds what somebody may ask for: token buckets for keys of any kind ([Buckets]), for addresses
// ([Addresses]), and for merchants over all processes ([Merchants]); and shares of what merchants have in common
// ([Shares]).
//
// It promises that its memory is bounded however many keys there are, and that a merchant's bucket is one for all
// processes while the shared store answers. While that is away each process has a bucket of its own of the same size,
// so that a request is neither refused nor delayed for it.
//
// It counts; it does not answer requests.
package limits
