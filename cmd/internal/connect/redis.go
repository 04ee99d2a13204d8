package connect

import (
	"crypto/tls"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/capi-dispatcher/capi-dispatcher/config"
)

// Redis returns a client of a single Redis, of one behind sentinels, or of a
// cluster. It connects when it is first used. The caller closes it.
func Redis(cfg *config.Redis, connections int) (redis.UniversalClient, error) {
	options, err := redisOptions(cfg)
	if err != nil {
		return nil, err
	}
	options.PoolSize = connections
	switch cfg.Mode {
	case config.Sentinel:
		return redis.NewFailoverClient(options.Failover()), nil
	case config.Cluster:
		return redis.NewClusterClient(options.Cluster()), nil
	default:
		return redis.NewClient(options.Simple()), nil
	}
}

func redisOptions(cfg *config.Redis) (*redis.UniversalOptions, error) {
	options := &redis.UniversalOptions{
		ClientName: "capi-dispatcher",
		MasterName: cfg.SentinelMaster,
		// Who asks knows for how long an answer is of use.
		MaxRetries:            -1,
		ContextTimeoutEnabled: true,
		DialTimeout:           5 * time.Second,
		DialerRetries:         1,
		ReadTimeout:           5 * time.Second,
		WriteTimeout:          5 * time.Second,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled, // of one vendor's servers
		},
	}
	var secure bool
	for _, address := range cfg.URL.List() {
		parsed, err := redis.ParseURL(address)
		if err != nil {
			// The library's error may quote the address, password and all.
			return nil, fmt.Errorf("redis.url: %s is not an address of Redis", cfg.URL)
		}
		options.Addrs = append(options.Addrs, parsed.Addr)
		options.Username, options.Password, options.DB = parsed.Username, parsed.Password, parsed.DB
		secure = secure || parsed.TLSConfig != nil
	}
	if err := redisLogin(cfg, options); err != nil {
		return nil, err
	}
	tlsConfig, err := tlsConfig("redis.tls", cfg.TLS)
	if err != nil {
		return nil, err
	}
	if tlsConfig == nil && secure {
		tlsConfig = newTLS()
	}
	options.TLSConfig = tlsConfig
	return options, nil
}

func redisLogin(cfg *config.Redis, options *redis.UniversalOptions) error {
	if cfg.User != "" {
		options.Username = cfg.User
	}
	if cfg.PasswordFile != "" {
		read, err := secretReader("redis.password_file", cfg.PasswordFile)
		if err != nil {
			return err
		}
		user := options.Username
		options.CredentialsProvider = func() (string, string) { return user, read() }
	}
	if cfg.SentinelPasswordFile != "" {
		read, err := secretReader("redis.sentinel_password_file", cfg.SentinelPasswordFile)
		if err != nil {
			return err
		}
		options.SentinelPassword = read()
	}
	return nil
}

func newTLS() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }
