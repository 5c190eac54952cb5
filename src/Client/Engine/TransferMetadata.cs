// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Client.Engine;

/// <summary>Words of <see cref="TransferEngineOptions.Metadata"/>.</summary>
public static class TransferMetadata
{
    /// <summary>No registry: an engine is known by its host:port.</summary>
    public const string PeerToPeer = "P2PHANDSHAKE";
}
