package cluster_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
)

// access is an account of NATS whose users may do what their credentials say.
type access struct {
	t       *testing.T
	account nkeys.KeyPair // its public half is its name
}

// newAccess makes an account with JetStream, and sets the options of a server
// that knows it.
func newAccess(t *testing.T, options *server.Options) *access {
	t.Helper()
	operator, system, account := newKey(t, nkeys.CreateOperator), newKey(t, nkeys.CreateAccount), newKey(t, nkeys.CreateAccount)
	claims := jwt.NewOperatorClaims(public(t, operator))
	claims.SystemAccount = public(t, system)
	signed, err := claims.Encode(operator)
	require.NoError(t, err)
	claims, err = jwt.DecodeOperatorClaims(signed)
	require.NoError(t, err)
	options.TrustedOperators, options.SystemAccount = []*jwt.OperatorClaims{claims}, public(t, system)
	resolver := &server.MemAccResolver{}
	for _, key := range []nkeys.KeyPair{system, account} {
		claims := jwt.NewAccountClaims(public(t, key))
		if key == account {
			claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
		}
		signed, err := claims.Encode(operator)
		require.NoError(t, err)
		require.NoError(t, resolver.Store(public(t, key), signed))
	}
	options.AccountResolver = resolver
	return &access{t: t, account: account}
}

// creds makes a credentials file for a user who may publish to these subjects,
// and to no others; without any, to all.
func (a *access) creds(subjects ...string) string {
	a.t.Helper()
	user := newKey(a.t, nkeys.CreateUser)
	claims := jwt.NewUserClaims(public(a.t, user))
	if len(subjects) > 0 {
		claims.Pub.Allow.Add(subjects...)
		claims.Sub.Allow.Add("_INBOX.>")
	}
	signed, err := claims.Encode(a.account)
	require.NoError(a.t, err)
	seed, err := user.Seed()
	require.NoError(a.t, err)
	text, err := jwt.FormatUserConfig(signed, seed)
	require.NoError(a.t, err)
	return string(text)
}

// documentedRights are the smallest rights of a worker in docs/deploy.md, and
// those that whoever makes the streams needs besides.
func documentedRights(t *testing.T) (worker, streams []string) {
	t.Helper()
	_, text, found := strings.Cut(readFile(t, "../../docs/deploy.md"), "**Who may do what.**")
	require.True(t, found)
	text, _, _ = strings.Cut(text, "\n## ")
	table, rest, found := strings.Cut(text, "and to subscribe, `_INBOX.>`.")
	require.True(t, found, "the right to subscribe")
	subject := regexp.MustCompile("`([^`]+)`")
	for row := range strings.SplitSeq(table, "\n") {
		if cells := strings.Split(row, "|"); len(cells) == 4 {
			worker = append(worker, names(subject, cells[1])...)
		}
	}
	sentence := regexp.MustCompile(`To create streams and consumers: [^\n]*`).FindString(rest)
	return worker, names(subject, sentence)
}

func names(pattern *regexp.Regexp, text string) (found []string) {
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	return found
}

func newKey(t *testing.T, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	key, err := create()
	require.NoError(t, err)
	return key
}

func public(t *testing.T, key nkeys.KeyPair) string {
	t.Helper()
	text, err := key.PublicKey()
	require.NoError(t, err)
	return text
}
