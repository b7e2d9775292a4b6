package backend_test

import (
	"crypto/rand"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"gatehouse/backend"
	"gatehouse/backend/session"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// TestEveryDeclaredPacketTypeIsAnswered reads the declarations of the
// contract: a type that is declared there and forgotten here would be
// answered as one that does not exist.
func TestEveryDeclaredPacketTypeIsAnswered(t *testing.T) {
	t.Parallel()
	declared := declaredTypes(t, "../protocol/packet")
	answered := append(backend.Types(), backend.OperatorTypes()...)
	if slices.Sort(answered); !slices.Equal(answered, declared) {
		t.Errorf("answered are %v, declared are %v", answered, declared)
	}
	want := []string{"change_password", "delete_account", "end_other_sessions", "end_session", "get_profile", "get_user", "list_sessions",
		"login", "logout",
		"op_about", "op_add_user", "op_delete_user", "op_disable_user", "op_enable_user", "op_end_sessions", "op_list_users", "op_set_password", "op_show_user",
		"pictures_in_use", "register", "set_picture", "update_profile", "verify"}
	if !slices.Equal(declared, want) {
		t.Errorf("declared are %v, promised are %v", declared, want)
	}
}

// declaredTypes returns the Type of every protocol.Method in a package, sorted.
func declaredTypes(t *testing.T, dir string) (types []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", dir, err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if file.Name.Name != "packet" {
			continue // tests
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.CompositeLit)
			if !ok || !isMethod(literal.Type) {
				return true
			}
			for _, element := range literal.Elts {
				pair := element.(*ast.KeyValueExpr)
				if pair.Key.(*ast.Ident).Name != "Type" {
					continue
				}
				typ, err := strconv.Unquote(pair.Value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				types = append(types, typ)
			}
			return true
		})
	}
	slices.Sort(types)
	return types
}

// isMethod tells whether a type is protocol.Method[…, …].
func isMethod(e ast.Expr) bool {
	generic, ok := e.(*ast.IndexListExpr)
	if !ok {
		return false
	}
	name, ok := generic.X.(*ast.SelectorExpr)
	return ok && name.Sel.Name == "Method"
}

// TestBothTiersTellAlikeWhoIsMeant compares what the contract makes of names
// and tokens with what the backend does: a difference would end connections.
func TestBothTiersTellAlikeWhoIsMeant(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "ada", "ADA", "Z.a-Z_9", "\u212aATE", "ÅSA", "adm\u0130N", "A\x00B", "A\uFFFDB"} {
		if contract, own := packet.FoldUsername(name), user.Fold(name); contract != own {
			t.Errorf("%q folds to %q in the contract and to %q here", name, contract, own)
		}
	}
	for _, id := range []int64{1, 407958139958203785, math.MaxInt64} {
		token, _, err := session.NewToken(id, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if got := packet.TokenSubject(packet.Secret(token)); got != strconv.FormatInt(id, 10) {
			t.Errorf("the subject of a token of user %d is %q", id, got)
		}
	}
}

func TestUnknownPacketTypeIsNotFound(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, typ := range append([]string{"", "hello", "Login", "login "}, backend.OperatorTypes()...) {
		_, err := raw(t, s, typ, protocol.Meta{}, struct{}{})
		if got := outcome(err); got != "not_found/unknown_type" {
			t.Errorf("packet type %q was answered %s", typ, got)
		}
	}
}

// TestSubjectIsThatOfTheRecordAndAsTheCallerExpects makes every call that
// succeeds with a record; the names are given in capitals where there are any.
func TestSubjectIsThatOfTheRecordAndAsTheCallerExpects(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, bob := s.join(t, "ada"), s.join(t, "bob")
	third, fourth := s.again(t, ada), s.again(t, ada)
	named := packet.Named{Username: "ADA"}
	id := strconv.FormatInt(ada.id, 10)
	tested := map[string]bool{}
	for _, test := range []struct {
		typ  string
		key  string
		body any
		want string
	}{
		{packet.Register.Type, "", packet.RegisterRequest{Named: packet.Named{Username: "Grace"}, Password: goodPassword}, "grace"},
		{packet.Register.Type, "k1", packet.RegisterRequest{Named: packet.Named{Username: "HeDy"}, Password: goodPassword}, "hedy"},
		{packet.Register.Type, "k1", packet.RegisterRequest{Named: packet.Named{Username: "HEDY"}, Password: goodPassword}, "hedy"}, // again
		{packet.Login.Type, "", packet.LoginRequest{Named: named, Password: goodPassword}, "ada"},
		{packet.GetUser.Type, "", named, "ada"},
		{packet.Verify.Type, "", ada.auth(), id},
		{packet.GetProfile.Type, "", ada.auth(), id},
		{packet.ListSessions.Type, "", ada.auth(), id},
		{packet.UpdateProfile.Type, "", packet.UpdateProfileRequest{Authenticated: ada.auth(), Nickname: "Countess"}, id},
		{packet.UpdateProfile.Type, "k2", packet.UpdateProfileRequest{Authenticated: ada.auth(), Nickname: "Lovelace"}, id},
		{packet.UpdateProfile.Type, "k2", packet.UpdateProfileRequest{Authenticated: ada.auth(), Nickname: "Lovelace"}, id}, // again
		{packet.SetPicture.Type, "", packet.SetPictureRequest{Authenticated: ada.auth(), Picture: keyA}, id},
		{packet.EndSession.Type, "", packet.EndSessionRequest{Authenticated: ada.auth(), ID: s.sessionID(t, third)}, id},
		{packet.ChangePassword.Type, "", packet.ChangePasswordRequest{Authenticated: ada.auth(), CurrentPassword: goodPassword, NewPassword: otherPassword}, id},
		{packet.EndOtherSessions.Type, "", ada.auth(), id},
		{packet.Logout.Type, "", bob.auth(), strconv.FormatInt(bob.id, 10)},
		{packet.DeleteAccount.Type, "k3", packet.DeleteAccountRequest{Authenticated: ada.auth(), Password: otherPassword}, id},
		{packet.DeleteAccount.Type, "k3", packet.DeleteAccountRequest{Authenticated: ada.auth(), Password: otherPassword}, id}, // again
		{packet.PicturesInUse.Type, "", packet.PictureKeys{Keys: []string{keyA}}, ""},
	} {
		tested[test.typ] = true
		reply, err := raw(t, s, test.typ, protocol.Meta{IdempotencyKey: test.key, Client: s.client()}, test.body)
		if err != nil || reply.Subject != test.want {
			t.Errorf("%s: subject %q, %v, want %q", test.typ, reply.Subject, err, test.want)
		}
		if expects, ok := test.body.(interface{ Subject() string }); ok && expects.Subject() != reply.Subject {
			t.Errorf("%s: subject %q, and the caller expects %q", test.typ, reply.Subject, expects.Subject())
		}
	}
	for _, typ := range backend.Types() {
		if !tested[typ] {
			t.Errorf("no call of %s was made", typ)
		}
	}
	if reply, err := raw(t, s, packet.Verify.Type, protocol.Meta{}, fourth.auth()); err == nil || reply.Subject != "" || reply.Body != nil {
		t.Errorf("a refusal has subject %q and body %s", reply.Subject, reply.Body)
	}
}
