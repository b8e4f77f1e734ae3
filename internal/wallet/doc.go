// Package wallet turns a merchant's account xpub into deposit addresses, and spells Ethereum addresses.
//
// It promises that only public account keys pass [Parse]: an xprv, a mnemonic phrase or a raw private key is refused
// with an error of its own that never repeats the input. The same key, branch and index always give the same address,
// the one that the owner's wallet shows under the path of [Account.Path]. [Account.KeyID] names a key by what it
// derives, so two spellings of one key are one key.
//
// It keeps no counter, knows no chain and touches no network: which index is next is a question for internal/store, and
// whether an address was used before one for internal/evm. It serves internal/payments, internal/api and
// internal/admin.
package wallet
