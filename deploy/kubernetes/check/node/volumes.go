package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// volumes makes a pod's volumes as folders, with the owners and modes that the kubelet gives them.
func (p *pod) volumes(ctx context.Context) (map[string]string, error) {
	made := map[string]string{}
	for _, v := range p.spec.Spec.Volumes {
		at := filepath.Join(p.dir, "volumes", v.Name)
		var err error
		switch {
		case v.EmptyDir != nil:
			err = p.open(at)
		case v.Secret != nil:
			var s *core.Secret
			if s, err = p.node.api.CoreV1().Secrets(p.spec.Namespace).Get(ctx, v.Secret.SecretName, metav1.GetOptions{}); err == nil {
				err = p.project(at, s.Data, v.Secret.Items, mode(v.Secret.DefaultMode))
			}
		case v.ConfigMap != nil:
			var c *core.ConfigMap
			if c, err = p.node.api.CoreV1().ConfigMaps(p.spec.Namespace).Get(ctx, v.ConfigMap.Name, metav1.GetOptions{}); err == nil {
				data := map[string][]byte{}
				for key, text := range c.Data {
					data[key] = []byte(text)
				}
				err = p.project(at, data, v.ConfigMap.Items, mode(v.ConfigMap.DefaultMode))
			}
		case v.PersistentVolumeClaim != nil:
			at, err = p.claimed(ctx, v.PersistentVolumeClaim.ClaimName)
		default:
			err = errors.New("a kind of volume that this node does not know")
		}
		if err != nil {
			return nil, fmt.Errorf("volume %s: %w", v.Name, err)
		}
		made[v.Name] = at
	}
	return made, nil
}

func mode(m *int32) os.FileMode {
	if m == nil {
		return 0o644
	}
	return os.FileMode(*m)
}

func (p *pod) group() int { return int(*p.spec.Spec.SecurityContext.FSGroup) }

// open makes an empty folder of the pod's group, if it is not there.
func (p *pod) open(at string) error {
	if _, err := os.Stat(at); err == nil {
		return nil
	}
	return errors.Join(os.MkdirAll(at, 0o777), os.Chown(at, 0, p.group()), os.Chmod(at, 0o777|os.ModeSetgid))
}

// project writes files, each a link to a link, root's, readable by the pod's group.
func (p *pod) project(at string, data map[string][]byte, items []core.KeyToPath, mode os.FileMode) error {
	if _, err := os.Stat(at); err == nil {
		return nil
	}
	if len(items) == 0 {
		for key := range data {
			items = append(items, core.KeyToPath{Key: key, Path: key})
		}
	}
	inside := filepath.Join(at, "..2026")
	err := errors.Join(os.MkdirAll(inside, 0o755), os.Chmod(at, 0o777|os.ModeSticky|os.ModeSetgid), os.Symlink("..2026", filepath.Join(at, "..data")),
		os.Chown(at, 0, p.group()), os.Chown(inside, 0, p.group()))
	for _, item := range items {
		text, ok := data[item.Key]
		if !ok {
			return errors.Join(fmt.Errorf("it has no key %s", item.Key), os.RemoveAll(at))
		}
		path := filepath.Join(inside, item.Path)
		err = errors.Join(err, os.WriteFile(path, text, 0o600), os.Chown(path, 0, p.group()), os.Chmod(path, mode|0o440),
			os.Symlink(filepath.Join("..data", item.Path), filepath.Join(at, item.Path)))
	}
	return err
}

// claimed is the folder of a claim's volume, once it is bound.
func (p *pod) claimed(ctx context.Context, name string) (string, error) {
	claim, err := p.node.api.CoreV1().PersistentVolumeClaims(p.spec.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if claim.Status.Phase != core.ClaimBound {
		return "", fmt.Errorf("claim %s is %s", name, claim.Status.Phase)
	}
	volume, err := p.node.api.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	at := volume.Spec.HostPath.Path
	return at, errors.Join(os.MkdirAll(at, 0o775), os.Chown(at, 0, p.group()), os.Chmod(at, 0o775|os.ModeSetgid))
}
