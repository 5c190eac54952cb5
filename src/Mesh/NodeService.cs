// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh;

/// <summary>What a node says of itself to peers: pings, its view, its status.</summary>
internal sealed class NodeService(ViewTracker views, Func<NodeStatus> status, Func<long> freeBytes, Func<bool> leaving,
    FormerMembers former, Func<OwnerParts?> ownerParts) : INodeCalls
{
    /// <inheritdoc/>
    public PingAnswer Ping(in PingRequest request, PeerChannel from)
    {
        var owner = ownerParts();
        owner?.Guard.PeerShowed(request.View);
        views.Suggest(request.View, from);
        // The view in which owner calls are answered: for a moment after it was learnt a newer one is not that yet.
        var acting = owner?.States.Current.View ?? views.View;
        return new PingAnswer(acting.Id, freeBytes(), leaving(), former.LastWithout(from.Remote.Incarnation),
            views.RingSince, owner?.Succession.AwaitsFormer == true);
    }

    /// <inheritdoc/>
    public ViewPage PullView(in ViewPullRequest request)
    {
        var view = views.View;
        var page = new List<byte[]>();
        int bytes = 0;
        for (int i = Math.Max(0, request.From); i < view.Members.Count; i++)
        {
            byte[] json = view.Members[i].ToJson();
            if (page.Count > 0 && bytes + json.Length > ViewPage.PageBytes)
                break;
            page.Add(json);
            bytes += json.Length;
        }

        return new ViewPage(view.Id, view.Config.ToJson(), view.Members.Count, [.. page], view.Past);
    }

    /// <inheritdoc/>
    public StatusAnswer Status() => new(status().ToJson());
}
