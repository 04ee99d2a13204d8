package natstest

import (
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
)

// Account is an account of NATS with JetStream, whose users may do what their
// credentials say.
type Account struct {
	// Name is the public half of its key.
	Name string

	t   testing.TB
	key nkeys.KeyPair
}

// NewAccount makes an account, and sets the options of a server that knows it
// and lets in nobody else.
func NewAccount(tb testing.TB, options *server.Options) *Account {
	tb.Helper()
	operator, operatorName := newKey(tb, nkeys.CreateOperator)
	_, systemName := newKey(tb, nkeys.CreateAccount)
	a := &Account{t: tb}
	a.key, a.Name = newKey(tb, nkeys.CreateAccount)
	claims := jwt.NewOperatorClaims(operatorName)
	claims.SystemAccount = systemName
	signed, err := claims.Encode(operator)
	require.NoError(tb, err)
	claims, err = jwt.DecodeOperatorClaims(signed)
	require.NoError(tb, err)
	resolver := &server.MemAccResolver{}
	for _, name := range []string{systemName, a.Name} {
		claims := jwt.NewAccountClaims(name)
		if name == a.Name {
			claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
		}
		signed, err := claims.Encode(operator)
		require.NoError(tb, err)
		require.NoError(tb, resolver.Store(name, signed))
	}
	options.TrustedOperators, options.SystemAccount = []*jwt.OperatorClaims{claims}, systemName
	options.AccountResolver = resolver
	return a
}

// Creds makes the credentials of a user who may do everything. It is what a
// creds file holds: a JWT, and the seed of its NKey.
func (a *Account) Creds() string { return a.creds(jwt.Permissions{}) }

// CredsFor makes the credentials of a user who has these rights and no others.
func (a *Account) CredsFor(rights Rights) string {
	var permissions jwt.Permissions
	permissions.Pub.Allow.Add(rights.Publish...)
	permissions.Sub.Allow.Add(rights.Subscribe...)
	// No right at all would be all of them.
	if len(rights.Publish) == 0 {
		permissions.Pub.Deny.Add(">")
	}
	if len(rights.Subscribe) == 0 {
		permissions.Sub.Deny.Add(">")
	}
	return a.creds(permissions)
}

func (a *Account) creds(permissions jwt.Permissions) string {
	a.t.Helper()
	user, name := newKey(a.t, nkeys.CreateUser)
	claims := jwt.NewUserClaims(name)
	claims.Permissions = permissions
	signed, err := claims.Encode(a.key)
	require.NoError(a.t, err)
	seed, err := user.Seed()
	require.NoError(a.t, err)
	text, err := jwt.FormatUserConfig(signed, seed)
	require.NoError(a.t, err)
	return string(text)
}

// newKey makes a pair of keys; the public half is the name of what has it.
func newKey(tb testing.TB, create func() (nkeys.KeyPair, error)) (key nkeys.KeyPair, name string) {
	tb.Helper()
	key, err := create()
	require.NoError(tb, err)
	name, err = key.PublicKey()
	require.NoError(tb, err)
	return key, name
}
