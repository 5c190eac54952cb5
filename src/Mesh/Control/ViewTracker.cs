// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Control;

/// <summary>
/// The view a peer acts on, and how it catches up: when a peer shows a newer one, the difference is pulled from that
/// peer in the background, one pull at a time. Thread-safe.
/// </summary>
internal sealed class ViewTracker
{
    private static readonly TimeSpan PullTimeout = TimeSpan.FromMilliseconds(200);

    /// <summary>How often a pull begins again, as the view has changed between two of its pages.</summary>
    private const int MostRestarts = 8;

    private readonly Lock _lock = new();
    private readonly MeshRuntime _runtime;
    private readonly Func<MeshView> _current;
    private readonly Func<MeshView, bool> _adopt;
    private Task? _pull;
    private MeshView _previous = MeshView.Empty;
    private MeshView _ringSince = MeshView.Empty;

    /// <param name="runtime">Where the pulls run.</param>
    /// <param name="current">The view of now.</param>
    /// <param name="adopt">Takes a pulled view if it is newer.</param>
    public ViewTracker(MeshRuntime runtime, Func<MeshView> current, Func<MeshView, bool> adopt)
    {
        _runtime = runtime;
        _current = current;
        _adopt = adopt;
        Seen = new SeenVersions(runtime.Policies.Tombstone.MayPass);
    }

    /// <summary>Set once calls can be made.</summary>
    public MeshCalls? Calls { get; set; }

    /// <summary>The view of now.</summary>
    public MeshView View => _current();

    /// <summary>The last view of another ring: its owners keep a lost slot until the new ones are complete.</summary>
    public MeshView Previous => Volatile.Read(ref _previous);

    /// <summary>What this caller has seen of keys.</summary>
    public SeenVersions Seen { get; }

    /// <summary>The first of our views that had the ring of now.</summary>
    public ViewId RingSince => Volatile.Read(ref _ringSince).Id;

    /// <summary>Notes that the view has changed.</summary>
    public void Changed(MeshView previous, MeshView next)
    {
        bool goesOn = next.Config.MeshId == previous.Config.MeshId
            || next.Config.Replaces.Contains(previous.Config.MeshId);
        if (!goesOn)
            Seen.Forget();
        if (next.HasSharesOf(previous))
            return;
        Volatile.Write(ref _previous, previous);
        Volatile.Write(ref _ringSince, next);
    }

    /// <summary>A peer has shown a view; pulls it if it is newer than ours.</summary>
    public void Suggest(ViewId seen, NodeRecord from)
    {
        if (seen.IsNewerThan(View.Id))
            _ = PullOnce(from);
    }

    /// <summary>
    /// The same, of a node that has called us: it may be new, so that in our view there is no way to it but this one.
    /// </summary>
    public void Suggest(ViewId seen, PeerChannel from)
    {
        if (from.Remote.NodeId.Length > 0 && seen.IsNewerThan(View.Id))
            _ = PullOnce(from);
    }

    /// <summary>The node we follow has shown its view; pulls it unless it is ours or an older one.</summary>
    public void Follow(ViewId seen, NodeRecord from)
    {
        if (seen != View.Id && !View.Id.IsNewerThan(seen))
            _ = PullOnce(from);
    }

    /// <summary>
    /// Waits until our view is at least <paramref name="seen"/>, the pull has failed, or <paramref name="limit"/> is
    /// over.
    /// </summary>
    /// <exception cref="OperationCanceledException">Cancelled before that.</exception>
    public async Task CatchUpAsync(ViewId seen, NodeRecord from, TimeSpan limit, CancellationToken cancel)
    {
        if (seen.IsNewerThan(View.Id))
            await PullTwiceAsync(seen, from).EndsWithinAsync(limit, _runtime.Time, cancel);
    }

    /// <summary>Pulls a whole view from a node.</summary>
    /// <param name="calls">Who asks for it.</param>
    /// <param name="from">The node.</param>
    /// <param name="timeout">Longest wait for one page.</param>
    /// <param name="cancel">Gives it up.</param>
    public static Task<MeshResult<MeshView>> FetchAsync(MeshCalls calls, NodeRecord from, TimeSpan timeout,
        CancellationToken cancel) =>
        FetchAsync(from.NodeId, request => calls.PullViewAsync(from, request, timeout, cancel));

    private static async Task<MeshResult<MeshView>> FetchAsync(string from,
        Func<ViewPullRequest, Task<MeshResult<ViewPage>>> pull)
    {
        var members = new List<NodeRecord>();
        ViewId? id = null;
        int restarts = 0;
        while (true)
        {
            var page = await pull(new ViewPullRequest(members.Count));
            if (!page.Succeeded)
                return page.Error!;
            if (id is not null && id != page.Value.View)
            {
                if (++restarts > MostRestarts)
                {
                    return new MeshError(MeshErrorCode.Unavailable, "view",
                        $"the view of {from} changed {restarts} times while its pages were read");
                }

                members.Clear();
                id = null;
                continue;
            }

            id = page.Value.View;
            foreach (byte[] json in page.Value.Members)
            {
                if (NodeRecord.FromJson(json) is { } member)
                    members.Add(member);
            }

            if (MeshConfig.FromJson(page.Value.Config) is not { } config)
                return new MeshError(MeshErrorCode.Protocol, "view", $"{from} sent a config that is none");
            if (members.Count >= page.Value.Total || page.Value.Members.Length == 0)
                return new MeshView(config, id.Value.Revision, members, null, page.Value.Past);
        }
    }

    /// <summary>A pull that was under way may have been of another node, or begun before that view.</summary>
    private async Task PullTwiceAsync(ViewId seen, NodeRecord from)
    {
        for (int i = 0; i < 2 && seen.IsNewerThan(View.Id); i++)
            await PullOnce(from);
    }

    private Task PullOnce(NodeRecord from) => Calls is not { } calls ? Task.CompletedTask
        : PullOnce(() => FetchAsync(calls, from, PullTimeout, CancellationToken.None));

    private Task PullOnce(PeerChannel from) => PullOnce(() => FetchAsync(from.Remote.NodeId,
        request => from.CallAsync<ViewPullRequest, ViewPage>(request, PullTimeout, CancellationToken.None)));

    private Task PullOnce(Func<Task<MeshResult<MeshView>>> fetch)
    {
        lock (_lock)
        {
            if (_pull is { IsCompleted: false })
                return _pull;
            _pull = _runtime.Start(() => PullAsync(fetch));
            return _pull;
        }
    }

    private async Task PullAsync(Func<Task<MeshResult<MeshView>>> fetch)
    {
        var view = await fetch();
        if (view.Succeeded)
            _adopt(view.Value);
    }
}
