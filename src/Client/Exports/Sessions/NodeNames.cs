// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Exports.Sessions;

/// <summary>Finds nodes by what users call them: id, endpoint, or the name a client was set up with.</summary>
internal static class NodeNames
{
    /// <summary>The node's id, or null.</summary>
    public static string? Find(LiveMesh live, string name)
    {
        foreach (var member in live.Client.Operations.Context.View.Members)
        {
            if (member.NodeId == name || member.Endpoints.Contains(name)
                || (member.Labels.TryGetValue(MeshOpener.HostnameLabel, out string? hostname) && hostname == name))
                return member.NodeId;
        }

        return null;
    }
}
