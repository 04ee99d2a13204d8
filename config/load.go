package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

// envPrefix is what the names of our environment variables begin with.
const envPrefix = "CAPI_"

// Load reads the configuration: the file, if a name is given, and environ over
// it. The error joins every fault found.
func Load(file string, environ []string) (*Config, error) {
	var faults []error
	tree := koanf.New(".")
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("configuration: %w", err)
		}
		if err := tree.Load(rawbytes.Provider(text), yaml.Parser()); err != nil {
			return nil, fmt.Errorf("configuration: %s is not YAML as expected: %w", file, err)
		}
		faults = append(faults, unknownKeys(tree)...)
		faults = append(faults, credentialsInFile(tree)...)
	}
	faults = append(faults, loadEnvironment(tree, environ)...)
	cfg := Default()
	unread := decode(tree, &cfg)
	faults = append(faults, unread...)
	for _, fault := range cfg.Validate() {
		if !isAboutAny(fault, unread) {
			faults = append(faults, fault)
		}
	}
	return &cfg, errors.Join(sorted(faults)...)
}

// isAboutAny reports whether a fault concerns a setting that could not be read:
// what is said of its default would mislead.
func isAboutAny(fault error, unread []error) bool {
	return slices.ContainsFunc(unread, func(other error) bool {
		key, _, _ := strings.Cut(other.Error(), ": ")
		return strings.Contains(fault.Error(), key)
	})
}

// unknownKeys reports keys that nothing reads.
func unknownKeys(tree *koanf.Koanf) (faults []error) {
	known := Keys()
	for _, key := range tree.Keys() {
		if !isKnown(key, known) {
			faults = append(faults, fmt.Errorf("%s: there is no such key; %s", key, instead(key, known)))
		}
	}
	return faults
}

func isKnown(key string, known []string) bool {
	for _, k := range known {
		// A section may stand empty, or have the wrong type, which is another
		// fault.
		if matches(key, k) || strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

// matches compares a key with a known one, in which * stands for any word.
func matches(key, known string) bool {
	words, pattern := strings.Split(key, "."), strings.Split(known, ".")
	for i, word := range words {
		if i < len(pattern) && pattern[i] != "*" && pattern[i] != word {
			return false
		}
	}
	return len(words) == len(pattern) || len(words) < len(pattern) && pattern[len(words)-1] == "*"
}

// credentialsInFile reports secrets in a place that is shared, printed and
// committed.
func credentialsInFile(tree *koanf.Koanf) (faults []error) {
	for key, instead := range map[string]string{
		"nats.url":  "nats.creds_file, nats.nkey_seed_file, nats.password_file or nats.token_file, or CAPI_NATS_URL",
		"redis.url": "redis.password_file, or CAPI_REDIS_URL",
	} {
		if redactedURLs(tree.String(key)) {
			faults = append(faults, fmt.Errorf("%s: holds credentials, and the file is no place for them; use %s", key, instead))
		}
	}
	return faults
}

// loadEnvironment puts environment variables over the file: CAPI_ and the key
// in capitals, with _ for each dot.
func loadEnvironment(tree *koanf.Koanf, environ []string) (faults []error) {
	keys := make(map[string]string)
	var names []string
	for _, key := range Keys() {
		if !strings.Contains(key, "*") {
			name := EnvName(key)
			keys[name] = key
			names = append(names, name)
		}
	}
	provider := env.Provider(".", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			key, known := keys[name]
			if !known && !fromKubernetes(name) {
				faults = append(faults,
					fmt.Errorf("%s: there is no such environment variable; %s", name, insteadOfVariable(name, names)))
			}
			return key, value
		},
	})
	if err := tree.Load(provider, nil); err != nil {
		faults = append(faults, fmt.Errorf("environment: %w", err))
	}
	return faults
}

// EnvName is the environment variable that sets a key.
func EnvName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// fromKubernetes reports whether a variable is one that Kubernetes sets for a
// service whose name begins with "capi": those are not meant for us.
func fromKubernetes(name string) bool {
	return strings.Contains(name, "_SERVICE_HOST") || strings.Contains(name, "_SERVICE_PORT") ||
		strings.HasSuffix(name, "_PORT") || strings.Contains(name, "_PORT_")
}

// decode turns the tree into a Config.
func decode(tree *koanf.Koanf, into *Config) []error {
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result: into, TagName: "yaml", SquashTagOption: "inline", WeaklyTypedInput: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(durations, sizes, mapstructure.StringToSliceHookFunc(",")),
	})
	if err != nil {
		return []error{err}
	}
	return readable(decoder.Decode(tree.Raw()))
}

// durations reads "250ms". A bare number would leave its unit open.
func durations(from, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() || from == to {
		return value, nil
	}
	text, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("%v has no unit; write a duration like 250ms, 30s or 8h", value)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a duration like 250ms, 30s or 8h", text)
	}
	return d, nil
}

// sizes reads "900KB" where a number is wanted, and numbers out of the
// environment.
func sizes(from, to reflect.Type, value any) (any, error) {
	if to.Kind() != reflect.Int || from.Kind() != reflect.String {
		return value, nil
	}
	size, err := units.FromHumanSize(value.(string))
	if err != nil {
		return nil, fmt.Errorf("%q is not a number, or a size like 900KB, 32MB or 1GB", value)
	}
	return int(size), nil
}

// readable takes the library's errors apart, so that each begins with its key.
func readable(err error) (faults []error) {
	var joined interface{ Unwrap() []error }
	var fault *mapstructure.DecodeError
	switch {
	case err == nil:
	case errors.As(err, &joined):
		for _, e := range joined.Unwrap() {
			faults = append(faults, readable(e)...)
		}
	case errors.As(err, &fault):
		faults = append(faults, fmt.Errorf("%s: %w", fault.Name(), fault.Unwrap()))
	default:
		faults = append(faults, err)
	}
	return faults
}
