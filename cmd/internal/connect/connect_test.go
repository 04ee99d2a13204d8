package connect_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/capi-dispatcher/capi-dispatcher/cmd/internal/connect"
	"github.com/capi-dispatcher/capi-dispatcher/config"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe"
	"github.com/capi-dispatcher/capi-dispatcher/dedupe/dedupetest"
	"github.com/capi-dispatcher/capi-dispatcher/dispatcher/natstest"
	"github.com/capi-dispatcher/capi-dispatcher/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, dedupetest.DialRetry()) }

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// natsConnects tells whether a configuration leads to a working JetStream.
func natsConnects(t *testing.T, cfg config.NATS) error {
	t.Helper()
	js, err := connect.NATSNow(&cfg, connect.Worker)
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	_, err = js.AccountInfo(t.Context())
	return err
}

func TestNATSLogins(t *testing.T) {
	t.Parallel()
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := user.PublicKey()
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	other, err := nkeys.CreateUser()
	require.NoError(t, err)
	otherSeed, err := other.Seed()
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		server      *server.Options
		good, wrong func(*config.NATS)
	}{
		"password": {
			&server.Options{Username: "worker", Password: "hush"},
			func(c *config.NATS) { c.User, c.PasswordFile = "worker", writeFile(t, "hush\n") },
			func(c *config.NATS) { c.User, c.PasswordFile = "worker", writeFile(t, "wrong") },
		},
		"token": {
			&server.Options{Authorization: "hush"},
			func(c *config.NATS) { c.TokenFile = writeFile(t, "hush\n") },
			func(c *config.NATS) { c.TokenFile = writeFile(t, "wrong") },
		},
		"nkey": {
			&server.Options{Nkeys: []*server.NkeyUser{{Nkey: public}}},
			func(c *config.NATS) { c.NKeySeedFile = writeFile(t, string(seed)) },
			func(c *config.NATS) { c.NKeySeedFile = writeFile(t, string(otherSeed)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			running := natstest.StartWith(t, tc.server)
			cfg := config.NATS{URL: secret.URLs(running.URL())}
			require.Error(t, natsConnects(t, cfg), "nobody gets in without")
			wrong, good := cfg, cfg
			tc.wrong(&wrong)
			err := natsConnects(t, wrong)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hush")
			tc.good(&good)
			require.NoError(t, natsConnects(t, good))
		})
	}
}

func TestNATSCreds(t *testing.T) {
	t.Parallel()
	options := &server.Options{}
	account := natstest.NewAccount(t, options)
	cfg := config.NATS{URL: secret.URLs(natstest.StartWith(t, options).URL())}
	require.Error(t, natsConnects(t, cfg))
	cfg.CredsFile = writeFile(t, account.Creds())
	require.NoError(t, natsConnects(t, cfg))
}

// pki is a certificate authority with a certificate for this machine and one
// for a client.
type pki struct{ ca, serverCert, serverKey, clientCert, clientKey string }

func newPKI(t *testing.T) pki {
	t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	require.NoError(t, err)
	p := pki{ca: writePEM(t, "CERTIFICATE", der)}
	issue := func(name string) (cert, key string) {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, authority, &own.PublicKey, caKey)
		require.NoError(t, err)
		keyDER, err := x509.MarshalPKCS8PrivateKey(own)
		require.NoError(t, err)
		return writePEM(t, "CERTIFICATE", der), writePEM(t, "PRIVATE KEY", keyDER)
	}
	p.serverCert, p.serverKey = issue("server")
	p.clientCert, p.clientKey = issue("client")
	return p
}

func writePEM(t *testing.T, kind string, der []byte) string {
	t.Helper()
	return writeFile(t, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

func TestNATSOverMutualTLS(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	pair, err := tls.LoadX509KeyPair(p.serverCert, p.serverKey)
	require.NoError(t, err)
	roots, err := os.ReadFile(p.ca)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	running := natstest.StartWith(t, &server.Options{
		TLS: true, TLSVerify: true, TLSTimeout: 5,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert},
	})
	url := secret.URLs(strings.Replace(running.URL(), "nats://", "tls://", 1))
	require.ErrorContains(t, natsConnects(t, config.NATS{URL: url}), "certificate", "an unknown authority is not trusted")
	require.Error(t, natsConnects(t, config.NATS{URL: url, TLS: config.TLS{CAFile: p.ca}}), "a client shows its certificate")
	require.NoError(t, natsConnects(t, config.NATS{URL: url, TLS: config.TLS{CAFile: p.ca, CertFile: p.clientCert, KeyFile: p.clientKey}}))
}

func TestNATSMayComeLater(t *testing.T) {
	t.Parallel()
	running := natstest.Start(t)
	running.Stop()
	cfg := config.NATS{URL: secret.URLs("nats://127.0.0.1:1," + running.URL())}
	require.ErrorContains(t, natsConnects(t, cfg), "nats.url nats://127.0.0.1:1,")
	js, err := connect.NATS(&cfg, connect.Worker, zap.NewNop())
	require.NoError(t, err)
	defer js.Conn().Close()
	require.False(t, js.Conn().IsConnected())
	running.Restart()
	require.Eventually(t, js.Conn().IsConnected, 20*time.Second, 10*time.Millisecond)
}

func TestUnusableFiles(t *testing.T) {
	t.Parallel()
	empty, garbage := writeFile(t, ""), writeFile(t, "garbage")
	for want, cfg := range map[string]config.NATS{
		"nats.creds_file: ":     {CredsFile: "/nowhere"},
		"nats.nkey_seed_file: ": {NKeySeedFile: garbage},
		"nats.password_file: ":  {User: "u", PasswordFile: empty},
		"nats.token_file: ":     {TokenFile: "/nowhere"},
		"nats.tls.ca_file: ":    {TLS: config.TLS{CAFile: garbage}},
		"nats.tls.cert_file: ":  {TLS: config.TLS{CertFile: garbage, KeyFile: garbage}},
	} {
		cfg.URL = "nats://127.0.0.1:1"
		require.ErrorContains(t, natsConnects(t, cfg), want)
	}
	for _, url := range []secret.URLs{"nats://u:hush%zz@127.0.0.1:1", "hush@127.0.0.1:1", "nats://u:1,hush@127.0.0.1:1", "nats://u:hush/1@127.0.0.1"} {
		err := natsConnects(t, config.NATS{URL: url})
		require.ErrorContains(t, err, "nats.url: ")
		require.NotContains(t, err.Error(), "hush")
		require.NotContains(t, err.Error(), "zz")
	}
	for want, cfg := range map[string]config.Redis{
		"redis.password_file: ":          {PasswordFile: "/nowhere"},
		"redis.sentinel_password_file: ": {SentinelPasswordFile: empty},
		"redis.tls.ca_file: ":            {TLS: config.TLS{CAFile: "/nowhere"}},
		"redis.url: ":                    {URL: "redis://u:hush@h/not-a-number"},
	} {
		_, err := connect.Redis(&cfg, 1)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hush")
	}
}

// redisWorks tells whether a configuration leads to a Redis that takes claims.
func redisWorks(t *testing.T, cfg config.Redis) error {
	t.Helper()
	client, err := connect.Redis(&cfg, 4)
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	return dedupe.New(dedupe.DefaultConfig(), time.Minute, client).Check(t.Context())
}

func TestRedisLogins(t *testing.T) {
	t.Parallel()
	running := dedupetest.Start(t, "--requirepass", "hush",
		"--user", "worker", "on", ">whisper", "~*", "+get", "+set", "+del", "+pexpire", "+pttl", "+eval", "+@connection")
	url := secret.URLs(running.URL())
	require.ErrorIs(t, redisWorks(t, config.Redis{URL: url}), dedupe.ErrLogin)
	require.NoError(t, redisWorks(t, config.Redis{URL: url, PasswordFile: writeFile(t, "hush\n")}))
	require.NoError(t, redisWorks(t, config.Redis{URL: url, User: "worker", PasswordFile: writeFile(t, "whisper\n")}))
	require.ErrorIs(t, redisWorks(t, config.Redis{URL: url, User: "worker", PasswordFile: writeFile(t, "wrong")}), dedupe.ErrLogin)
	require.NoError(t, redisWorks(t, config.Redis{URL: secret.URLs(strings.Replace(running.URL(), "redis://", "redis://:hush@", 1))}))
}

func TestRedisOverMutualTLS(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	running := dedupetest.StartTLS(t, p.serverCert, p.serverKey, p.ca)
	url := secret.URLs("rediss://" + running.Addr + "/0")
	require.ErrorContains(t, redisWorks(t, config.Redis{URL: url}), "certificate")
	require.Error(t, redisWorks(t, config.Redis{URL: url, TLS: config.TLS{CAFile: p.ca}}))
	require.NoError(t, redisWorks(t, config.Redis{URL: url, TLS: config.TLS{CAFile: p.ca, CertFile: p.clientCert, KeyFile: p.clientKey}}))
}

// A master dies; the sentinels make its replica the master, and claims go on.
func TestRedisSentinel(t *testing.T) {
	t.Parallel()
	master := dedupetest.Start(t)
	host, port, err := net.SplitHostPort(master.Addr)
	require.NoError(t, err)
	replica := dedupetest.Start(t, "--replicaof", host, port, "--repl-diskless-sync-delay", "0")
	sentinel := dedupetest.StartSentinel(t, master)
	require.Eventually(t, func() bool {
		info, err := replica.Client().Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	}, 30*time.Second, 50*time.Millisecond)
	// The sentinel finds the replica by asking the master every ten seconds.
	require.Eventually(t, func() bool {
		known, err := sentinel.Client().Do(t.Context(), "SENTINEL", "REPLICAS", "main").Slice()
		return err == nil && len(known) == 1
	}, 30*time.Second, 50*time.Millisecond)

	cfg := config.Redis{URL: secret.URLs("redis://" + sentinel.Addr), Mode: config.Sentinel, SentinelMaster: "main"}
	client, err := connect.Redis(&cfg, 4)
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	store := dedupe.New(dedupe.DefaultConfig(), time.Minute, client)
	works := func() bool { return store.Check(t.Context()) == nil }
	const patience, often = 3 * time.Minute, 50 * time.Millisecond
	require.Eventually(t, works, patience, often)
	// On a slow machine, a failover may have happened by itself.
	leads, err := sentinel.Client().Do(t.Context(), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main").StringSlice()
	require.NoError(t, err)
	if net.JoinHostPort(leads[0], leads[1]) == replica.Addr {
		master = replica
	}
	master.Kill()
	require.Eventually(t, works, patience, often)
}

func TestRedisCluster(t *testing.T) {
	t.Parallel()
	var urls []string
	for _, addr := range dedupetest.StartCluster(t)[:2] {
		urls = append(urls, "redis://"+addr)
	}
	cfg := config.Redis{URL: secret.URLs(strings.Join(urls, ",")), Mode: config.Cluster}
	require.NoError(t, redisWorks(t, cfg))
}
