package picture_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/webserver/picture"
	"gatehouse/webserver/picture/picturetest"
)

// openDisk opens a store in dir and closes it with the test.
func openDisk(t *testing.T, dir string) *picture.Disk {
	t.Helper()
	disk, err := picture.OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
	})
	return disk
}

// storedPicture puts a small picture of the user and returns it with the path
// of its file.
func storedPicture(t *testing.T, disk *picture.Disk, dir string, userID int64) (picture.Picture, string) {
	t.Helper()
	p, err := picture.NewProcessor(picture.Config{}).Process(t.Context(), userID, encodePNG(t, gradient(4, 4)))
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.Put(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p, filepath.Join(dir, p.Key[:2], p.Key)
}

func TestDiskKeepsThePromisesOfAStore(t *testing.T) {
	t.Parallel()
	picturetest.Run(t, func(t *testing.T) picture.Store { return openDisk(t, t.TempDir()) })
}

func TestDiskKeepsPicturesWhenOpenedAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data", "pictures")
	first, err := picture.OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := storedPicture(t, first, dir, 1)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	object, err := openDisk(t, dir).Open(t.Context(), p.Key)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	if content, err := io.ReadAll(object.Body); err != nil || !bytes.Equal(content, p.Bytes) {
		t.Errorf("read %d bytes, %v; want the %d put", len(content), err, len(p.Bytes))
	}
}

func TestDiskFilesAreReadableByTheirOwnerAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "pictures")
	disk := openDisk(t, dir)
	_, name := storedPicture(t, disk, dir, 1)
	for path, want := range map[string]fs.FileMode{
		name:               0o600,
		filepath.Dir(name): 0o700 | fs.ModeDir,
		dir:                0o700 | fs.ModeDir,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
}

func TestDiskLeavesNoTemporaryFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := openDisk(t, dir)
	_, name := storedPicture(t, disk, dir, 1)
	if err := disk.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); len(got) != 1 || got[0] != name {
		t.Errorf("folder holds %q, want %q alone", got, name)
	}
}

// files returns all files below dir.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestDiskPutRefreshesAnOldFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := openDisk(t, dir)
	p, name := storedPicture(t, disk, dir, 1)
	old := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
	if err := disk.Put(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if err := disk.DeleteOlder(t.Context(), p.Key, old.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); err != nil {
		t.Errorf("picture put again was swept as old: %v", err)
	}
}

func TestDiskPutMendsADamagedFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := openDisk(t, dir)
	p, name := storedPicture(t, disk, dir, 1)
	for _, damage := range []string{"", "x", "<svg xmlns='http://www.w3.org/2000/svg'/>"} {
		if err := os.WriteFile(name, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := disk.Open(t.Context(), p.Key)
		if err == nil || errors.Is(err, picture.ErrNotFound) || !strings.Contains(err.Error(), p.Key) {
			t.Errorf("Open of a file of %q = %v, want an error that names the key", damage, err)
		}
		if err := disk.Put(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		object, err := disk.Open(t.Context(), p.Key)
		if err != nil {
			t.Fatalf("Open after Put: %v", err)
		}
		object.Body.Close()
	}
}

func TestDiskDoesNotFollowLinksOutOfItsFolder(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	disk := openDisk(t, dir)
	p, name := storedPicture(t, disk, dir, 1)
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, p.Bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(name), os.Symlink(secret, name)); err != nil {
		t.Fatal(err)
	}
	if object, err := disk.Open(t.Context(), p.Key); err == nil {
		object.Body.Close()
		t.Error("Open followed a link out of the folder")
	}
	shard := filepath.Dir(name)
	if err := errors.Join(os.RemoveAll(shard), os.Symlink(outside, shard)); err != nil {
		t.Fatal(err)
	}
	if err := disk.Put(t.Context(), p); err == nil {
		t.Error("Put followed a link out of the folder")
	}
	if got := files(t, outside); len(got) != 1 {
		t.Errorf("files outside: %q, want the one that was there", got)
	}
}

func TestDiskWalkRemovesWhatDeadPutsLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := openDisk(t, dir)
	p, name := storedPicture(t, disk, dir, 1)
	shard := filepath.Dir(name)
	dead, alive := filepath.Join(shard, ".put-DEAD"), filepath.Join(shard, ".put-ALIVE")
	foreign, misplaced := filepath.Join(shard, "README"), filepath.Join(dir, otherShard(p.Key), p.Key)
	for _, path := range []string{dead, alive, foreign, misplaced} {
		if err := os.WriteFile(path, p.Bytes[:4], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-2 * time.Hour)
	for _, path := range []string{dead, foreign, misplaced, name} {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	var keys []string
	err := disk.Walk(t.Context(), time.Now(), func(batch []string) error {
		keys = append(keys, batch...)
		return nil
	})
	if err != nil || len(keys) != 1 || keys[0] != p.Key {
		t.Errorf("Walk = %q, %v; want %q alone", keys, err, p.Key)
	}
	if _, err := os.Stat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("leftover of a dead Put: %v, want it removed", err)
	}
	for _, path := range []string{alive, foreign, misplaced, name} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("Walk touched what it should not: %v", err)
		}
	}
}

// otherShard returns a folder in which the key does not belong.
func otherShard(key string) string {
	if key[:2] == "7f" {
		return "7e"
	}
	return "7f"
}

func TestDiskMakesItsFoldersAnewWhenTheyWereRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := openDisk(t, dir)
	p, name := storedPicture(t, disk, dir, 1)
	if err := os.RemoveAll(filepath.Dir(name)); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Open(t.Context(), p.Key); !errors.Is(err, picture.ErrNotFound) {
		t.Errorf("Open = %v, want ErrNotFound", err)
	}
	if err := disk.Walk(t.Context(), time.Now(), func([]string) error { return nil }); err != nil {
		t.Errorf("Walk: %v", err)
	}
	if err := disk.Put(t.Context(), p); err != nil {
		t.Errorf("Put: %v", err)
	}
}

func TestDiskCheckFailsWhereNothingCanBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := openDisk(t, dir)
	probe := filepath.Join(dir, "00")
	if err := errors.Join(os.Remove(probe), os.WriteFile(probe, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := disk.Check(t.Context()); err == nil {
		t.Error("Check = nil though its folder is a file")
	}
}

func TestOpenDiskRefusesAFile(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "pictures")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if disk, err := picture.OpenDisk(name); err == nil {
		disk.Close()
		t.Error("OpenDisk = nil error for a file")
	}
}

// TestTwoDisksShareAFolder stands for two processes: nothing but the folder is
// common to the two.
func TestTwoDisksShareAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disks := []*picture.Disk{openDisk(t, dir), openDisk(t, dir)}
	p, _ := storedPicture(t, disks[0], dir, 1)
	var wg sync.WaitGroup
	for _, disk := range disks {
		wg.Go(func() {
			for range 30 {
				if err := disk.Put(t.Context(), p); err != nil {
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() {
			for range 100 {
				object, err := disk.Open(t.Context(), p.Key)
				if err != nil {
					t.Error(err)
					return
				}
				content, err := io.ReadAll(object.Body)
				object.Body.Close()
				if err != nil || !bytes.Equal(content, p.Bytes) {
					t.Errorf("read %d bytes, %v; want the %d put", len(content), err, len(p.Bytes))
				}
			}
		})
	}
	wg.Wait()
	if err := disks[1].Delete(t.Context(), p.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := disks[0].Open(t.Context(), p.Key); !errors.Is(err, picture.ErrNotFound) {
		t.Errorf("Open = %v after the other has deleted it, want ErrNotFound", err)
	}
}
