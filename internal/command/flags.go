package command

import (
	"time"
)

// The flags, in the groups in which commands take them. Names, defaults and
// meanings are promised to operators: they are added to and never changed.

type commonFlags struct {
	Config    string `help:"A file of settings, one \"flag = value\" a line." placeholder:"FILE"`
	LogLevel  string `help:"The least level that is logged: debug, info, warn or error." default:"info" enum:"debug,info,warn,error" group:"Process"`
	LogFormat string `help:"How to log: text, json, or auto, which is text on a terminal and json elsewhere." default:"auto" enum:"auto,text,json" group:"Process"`
}

type dataFlag struct {
	Data string `help:"Folder of the embedded database, the pictures and the link key." default:"./data" placeholder:"DIR" group:"Storage"`
}

type httpFlags struct {
	HTTP           string   `name:"http" help:"Address of the pages and the API. Beyond loopback it wants TLS, an https:// --public-url or --insecure-http." default:"127.0.0.1:8080" placeholder:"HOST:PORT" group:"HTTP"`
	HTTPTLSCert    string   `name:"http-tls-cert" help:"Certificate chain (PEM) for --http." placeholder:"FILE" group:"HTTP"`
	HTTPTLSKey     string   `name:"http-tls-key" help:"Key (PEM) of --http-tls-cert." placeholder:"FILE" group:"HTTP"`
	InsecureHTTP   bool     `name:"insecure-http" help:"Allow plain HTTP beyond loopback. Passwords then cross the network in the clear." group:"HTTP"`
	PublicURL      string   `name:"public-url" help:"Where people reach the service, https://login.example.org; when set, only its host is answered. Derived from --http otherwise." placeholder:"URL" group:"HTTP"`
	TrustedProxies []string `help:"Networks (CIDR) of proxies whose X-Forwarded-For is believed." placeholder:"CIDR" group:"HTTP"`
	Pictures       string   `help:"Where profile pictures are kept, disk:DIR. disk:DATA/pictures by default." placeholder:"URL" group:"Storage"`
}

type poolFlags struct {
	PoolSize     int `help:"Connections to each backend." default:"4" placeholder:"N" group:"Link"`
	PoolInFlight int `help:"Calls in flight on each connection; 1 is exclusive check-out." default:"64" placeholder:"N" group:"Link"`
}

type backendAddress struct {
	Backend []string `help:"Backends to call: host:port, dns:///name:port or unix:///path." default:"127.0.0.1:7000" placeholder:"ADDR" group:"Link"`
}

type linkFlags struct {
	LinkKeyFile string `help:"File with the key that both tiers prove to each other, at least 32 bytes." placeholder:"FILE" group:"Link"`
	LinkTLSCert string `name:"link-tls-cert" help:"Certificate (PEM) for TLS 1.3 between the tiers." placeholder:"FILE" group:"Link"`
	LinkTLSKey  string `name:"link-tls-key" help:"Key (PEM) of --link-tls-cert." placeholder:"FILE" group:"Link"`
	LinkTLSCA   string `name:"link-tls-ca" help:"Authority (PEM) that signed the other tier's certificate." placeholder:"FILE" group:"Link"`
}

type listenFlag struct {
	Listen string `help:"Address on which the backend takes calls: host:port or unix:///path." default:"127.0.0.1:7000" placeholder:"ADDR" group:"Link"`
}

type databaseFlag struct {
	Database string `help:"sqlite:PATH or mysql://user:pass@host:3306/name?tls=…. sqlite:DATA/gatehouse.db by default." placeholder:"URL" secret:"" group:"Storage"`
}

type storageFlags struct {
	databaseFlag
	Migrate    string `help:"What to do about the schema at start: up, check (refuse to serve another one) or off." default:"up" enum:"up,check,off" group:"Storage"`
	Durability string `help:"What to do where the database's settings can lose acknowledged writes: relaxed warns, strict refuses to start." default:"relaxed" enum:"strict,relaxed" group:"Storage"`
}

type accountFlags struct {
	Registration         string        `help:"Who may register: open or closed." default:"open" enum:"open,closed" group:"Accounts"`
	PasswordMin          int           `help:"Least length of a password in code points; 15 satisfies NIST SP 800-63B-4 for single-factor logins." default:"8" placeholder:"N" group:"Accounts"`
	SessionIdle          time.Duration `help:"How long a session lives unused." default:"168h" group:"Accounts"`
	SessionLifetime      time.Duration `help:"How long a session lives at most." default:"720h" group:"Accounts"`
	SessionsPerUser      int           `help:"Sessions a user may have; the least recently used ends." default:"100" placeholder:"N" group:"Accounts"`
	HashWorkers          int           `help:"Passwords hashed at the same time. 0 is half the processors, at least 1." default:"0" placeholder:"N" group:"Accounts"`
	HashParams           string        `help:"How new passwords are hashed." default:"argon2id:m=19456,t=2,p=1" placeholder:"PARAMS" group:"Accounts"`
	LimitFailedLogins    string        `help:"Failed logins of an address, COUNT/PERIOD[,BURST] or off." default:"10/1m" placeholder:"LIMIT" group:"Accounts"`
	LimitRegistrations   string        `help:"Registrations of an address." default:"10/1m,20" placeholder:"LIMIT" group:"Accounts"`
	LimitAccountFailures string        `help:"Failed logins at an account by all devices not known to it together." default:"20/1h" placeholder:"LIMIT" group:"Accounts"`
	LimitDeviceFailures  string        `help:"Failed logins of a device known to the account." default:"10/1h" placeholder:"LIMIT" group:"Accounts"`
}

// webAdminFlag and backendAdminFlag differ in their default only.
type webAdminFlag struct {
	Admin string `help:"Address of /metrics, /livez, /readyz and /debug/pprof/; never make it public." default:"127.0.0.1:8081" placeholder:"HOST:PORT" group:"Process"`
}

type backendAdminFlag struct {
	Admin string `help:"Address of /metrics, /livez, /readyz and /debug/pprof/; never make it public." default:"127.0.0.1:7001" placeholder:"HOST:PORT" group:"Process"`
}
