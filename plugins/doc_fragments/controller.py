# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """How the plugins that are no modules reach their desk."""

    DOCUMENTATION = r"""
options:
  deskplane_url:
    description:
      - Address of the desk, for example V(https://desk.example.com), with a path if it is served below one.
    type: str
    env:
      - name: DESKPLANE_URL
    ini:
      - section: deskplane
        key: url
  deskplane_api_key:
    description:
      - API key with the rights that the plugin needs.
      - The environment is a better place for it than a file that is in Git.
    type: str
    env:
      - name: DESKPLANE_API_KEY
    ini:
      - section: deskplane
        key: api_key
  deskplane_validate_certs:
    description:
      - Whether the desk's certificate is checked.
      - Set to V(false) only where nobody can listen in. Use O(deskplane_ca_path) for an authority of your own.
    type: bool
    default: true
    env:
      - name: DESKPLANE_VALIDATE_CERTS
    ini:
      - section: deskplane
        key: validate_certs
  deskplane_ca_path:
    description:
      - File or directory on the controller with the certificates of the authorities that are trusted, in place of the
        system's.
    type: path
    env:
      - name: DESKPLANE_CA_PATH
    ini:
      - section: deskplane
        key: ca_path
  deskplane_timeout:
    description:
      - Seconds to wait for a connection, and for each part of an answer.
    type: float
    default: 30
    env:
      - name: DESKPLANE_TIMEOUT
    ini:
      - section: deskplane
        key: timeout
"""
