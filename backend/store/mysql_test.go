package store_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/backend/store"
	"gatehouse/backend/user"
	"gatehouse/internal/testenv"
)

func TestOpenSaysWhyTheServerDoesNotLetUsIn(t *testing.T) {
	t.Parallel()
	d := testenv.MariaDB(t)
	nobody := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))
	for url, want := range map[string]string{
		"mysql://ada:s3cret@" + d.Addr() + "/" + d.Name():    "does not accept the user and password",
		strings.TrimSuffix(d.URL(), d.Name()) + "elsewhere":  "CREATE DATABASE elsewhere",
		"mysql://ada:s3cret@" + nobody + "/name":             "does not answer",
		d.URL() + "?tls=true":                                "does not answer",
		"mysql://ada:s3cret@/name?socket=/nowhere/to/listen": "does not answer",
	} {
		_, err := store.Open(t.Context(), store.Config{URL: url})
		if err == nil || !strings.HasPrefix(err.Error(), "--database: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want words on %q", url, err, want)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error %q holds the password", err)
		}
	}
	_, err := store.Open(t.Context(), store.Config{URL: "mysql://ada@" + nobody + "/name"})
	wantError(t, err, user.ErrUnavailable)
}

func TestOpenThroughASocket(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateMariaDB(t, "--skip-networking=0")
	d := server.NewDatabase(t)
	url := strings.Replace(d.URL(), d.Addr(), "", 1) + "?socket=" + server.Socket()
	create(t, open(t, url), "ada")
}

func TestServerSettingsAreOurOwn(t *testing.T) {
	t.Parallel()
	// What some servers are set to, and what would hurt.
	server := testenv.PrivateMariaDB(t, "--sql-mode=", "--default-time-zone=+05:00", "--character-set-server=latin1",
		"--transaction-isolation=SERIALIZABLE", "--default-storage-engine=MyISAM")
	s := open(t, server.NewDatabase(t).URL())
	u := newUser("ada")
	u.Nickname = "Ada 🌟"
	if err := s.Create(t.Context(), u, credential, nil); err != nil {
		t.Fatal(err)
	}
	got, _ := stored(t, s, u.ID)
	wantEqual(t, got, u)
	list, err := s.Migrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(list[0].AppliedAt); age < -time.Minute || age > 10*time.Minute {
		t.Errorf("the migration just applied is %v old", age)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, cert, key := certificates(t, dir)
	server := testenv.PrivateMariaDB(t, "--ssl-cert="+cert, "--ssl-key="+key, "--require-secure-transport=1")
	d := server.NewDatabase(t)
	for parameters, works := range map[string]bool{
		"":                                   false,
		"?tls=false":                         false,
		"?tls=true":                          false, // Signed by nobody known.
		"?tls=skip-verify":                   true,
		"?tls=preferred":                     true,
		"?tls-ca=" + ca:                      true,
		"?tls=true&tls-ca=" + ca:             true,
		"?tls=true&tls-ca=" + otherCA(t, ca): false,
	} {
		s, err := store.Open(t.Context(), store.Config{URL: d.URL() + parameters})
		if (err == nil) != works {
			t.Errorf("%q: got error %v, want success %v", parameters, err, works)
		}
		if err == nil {
			s.Close()
		}
	}
}

// certificates writes a certificate for 127.0.0.1 that an authority signed,
// and returns the files.
func certificates(t *testing.T, dir string) (ca, cert, key string) {
	authority, authorityKey := sign(t, nil, nil)
	leaf, leafKey := sign(t, authority, authorityKey)
	der, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("ca.pem", "CERTIFICATE", authority.Raw), write("cert.pem", "CERTIFICATE", leaf.Raw), write("key.pem", "PRIVATE KEY", der)
}

// otherCA returns an authority that signed nothing.
func otherCA(t *testing.T, ca string) string {
	other, _, _ := certificates(t, t.TempDir())
	if other == ca {
		t.Fatal("the authorities are the same")
	}
	return other
}

// sign makes a certificate, by itself where there is no authority.
func sign(t *testing.T, authority *x509.Certificate, authorityKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a server"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if authority == nil {
		template.IsCA, template.BasicConstraintsValid, template.Subject.CommonName = true, true, "an authority"
		template.KeyUsage = x509.KeyUsageCertSign
		authority, authorityKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, &key.PublicKey, authorityKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// The bytes of a user with a credential of 55 bytes, in pages of the table and
// of its index, for usernames that come in no order. Pages split and never
// shrink again, which is as bad as it gets.
func TestRowOfAUserStaysSmall(t *testing.T) {
	t.Parallel()
	d := testenv.MariaDB(t)
	open(t, d.URL())
	const users = 20000
	d.Exec(t, fmt.Sprintf(`INSERT INTO %[1]s.users
		SELECT seq << 21, CONCAT('user', LEFT(MD5(seq), 8)), CONCAT('User ', LEFT(MD5(seq), 8)), REPEAT('c', 55), NULL, 1, 1, 0, seq
		FROM %[1]s.seq_1_to_%[2]d`, d.Name(), users))
	d.Exec(t, "ANALYZE TABLE "+d.Name()+".users")
	var pages int
	err := d.Root().QueryRow("SELECT SUM(stat_value) FROM mysql.innodb_index_stats WHERE stat_name = 'n_leaf_pages' AND table_name = 'users' AND database_name = ?",
		d.Name()).Scan(&pages)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d pages, %d bytes a user", pages, pages*16384/users)
	if perUser := pages * 16384 / users; perUser > 220 {
		t.Errorf("a user takes %d bytes, at most 220 are allowed", perUser)
	}
}
