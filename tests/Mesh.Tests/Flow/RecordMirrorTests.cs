// SPDX-License-Identifier: Apache-2.0

using System.Collections.Concurrent;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Flow;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Tests.Support;

namespace Mooncake.Mesh.Tests.Flow;

/// <summary>
/// Who hears of what was decided in another ring than the one it is told from: after an outage of the registry a node
/// goes on for a while with members that have gone, and the others without them.
/// </summary>
public sealed class RecordMirrorTests : IAsyncDisposable
{
    private static readonly MeshKey Key = new("k");
    private readonly ScriptedPeers _peers = new();
    private readonly ConcurrentBag<string> _told = [];
    private readonly MeshView _ours;
    private readonly NodeRecord[] _owners;

    public RecordMirrorTests()
    {
        _ours = ViewOf(5, _peers.Members(4, i => (ulong)i));
        int slot = _ours.SlotOf(Key.Hash);
        _owners = [.. Enumerable.Range(0, 4).Select(place => _ours.Owner(slot, place)!)];
    }

    /// <summary>
    /// Our first owner has gone from their ring: the second, who decided there, and the third are its owners. Told is
    /// the third, though by our ring the one that has gone would do.
    /// </summary>
    [Theory]
    [InlineData(6)]
    [InlineData(5)]
    [InlineData(4)]
    public async Task The_owners_of_the_ring_it_was_decided_in_hear_of_it(long revision)
    {
        var theirs = ViewOf(revision, _owners[1..]);
        foreach (var owner in _owners)
            Serve(owner, theirs);
        var outcome = await MirrorAsync(_owners[1], theirs.Id);
        Assert.Equal((true, false), (outcome.Mirrored, outcome.IsAstray));
        Assert.Contains(_owners[2].NodeId, _told);
    }

    /// <summary>It was decided in our ring, but one whom we tell is in another: its owners hear of it, too.</summary>
    [Fact]
    public async Task So_do_those_of_a_ring_that_one_who_is_told_is_in()
    {
        var theirs = ViewOf(5, [_owners[1], _owners[3]]);
        Serve(_owners[0], _ours);
        foreach (var owner in _owners[1..])
            Serve(owner, theirs);
        var outcome = await MirrorAsync(_owners[0], _ours.Id);
        Assert.Equal((true, false), (outcome.Mirrored, outcome.IsAstray));
        Assert.Equal(new[] { _owners[1].NodeId, _owners[3].NodeId }.Order(), _told.Order());
    }

    [Fact]
    public async Task In_one_ring_one_owner_is_told_and_nobody_is_asked_for_his_view()
    {
        foreach (var owner in _owners)
            Serve(owner, _ours, showsView: false);
        var outcome = await MirrorAsync(_owners[0], _ours.Id);
        Assert.Equal((true, false), (outcome.Mirrored, outcome.IsAstray));
        Assert.Equal([_owners[1].NodeId], _told);
    }

    [Fact]
    public async Task Where_the_other_ring_cannot_be_learnt_it_is_to_be_decided_anew()
    {
        var theirs = ViewOf(5, _owners[1..]);
        foreach (var owner in _owners)
            Serve(owner, theirs, showsView: false);
        Assert.True((await MirrorAsync(_owners[1], theirs.Id)).IsAstray);
    }

    [Fact]
    public async Task A_view_that_changes_with_each_of_its_pages_is_given_up()
    {
        long revision = 5;
        _peers.Serve(_owners[0], (_, id) => ScriptedPeers.Answer(id, new ViewPage(ViewOf(revision++, _owners).Id,
            _ours.Config.ToJson(), _owners.Length, [_owners[0].ToJson()], RingPast.Unknown)));
        var fetched = await ViewTracker.FetchAsync(_peers.ClientOf(_ours).Context.Calls, _owners[0],
            TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        Assert.Equal((MeshErrorCode.Unavailable, "view"), (fetched.Error!.Code, fetched.Error.Stage));
    }

    [Fact]
    public async Task Whoever_has_no_time_left_does_not_wait_for_a_newer_view()
    {
        var theirs = ViewOf(6, _owners);
        _peers.Serve(_owners[0], (_, _) => null);
        var (context, links) = _peers.ClientOf(_ours);
        var caught = context.Views.CatchUpAsync(theirs.Id, _owners[0], TimeSpan.Zero,
            TestContext.Current.CancellationToken);
        Assert.True(caught.IsCompletedSuccessfully);
        links.Close();
        await caught;
    }

    public ValueTask DisposeAsync() => _peers.DisposeAsync();

    private static MeshView ViewOf(long revision, NodeRecord[] members) =>
        new(new MeshConfig { MeshId = 1, Slots = 256 }, revision, members);

    private async Task<MirrorOutcome> MirrorAsync(NodeRecord acceptor, ViewId view)
    {
        var (context, _) = _peers.ClientOf(_ours);
        var record = new ObjectRecord { ObjectId = 7, Version = new RecordVersion(1, 5, 1) };
        var deadline = new Deadline(_peers.Runtime.Time, TimeSpan.FromSeconds(30));
        return await new RecordMirror(context).RunAsync(new KeyedRecord(Key, record), acceptor, view, deadline,
            TestContext.Current.CancellationToken);
    }

    /// <summary>Takes every record, as one that is in this view.</summary>
    private void Serve(NodeRecord node, MeshView view, bool showsView = true) => _peers.Serve(node, (type, id) =>
    {
        switch (type)
        {
            case MessageType.Mirror:
                _told.Add(node.NodeId);
                return ScriptedPeers.Answer(id, new OwnerAnswers(view.Id, [new OwnerAnswer(OwnerCode.Yes)]));
            case MessageType.ViewPull when showsView:
                return ScriptedPeers.Answer(id, new ViewPage(view.Id, view.Config.ToJson(), view.Members.Count,
                    [.. view.Members.Select(member => member.ToJson())], RingPast.Unknown));
            default:
                return FrameBuffer.Of(MessageType.Failure, id, new Failure(MeshErrorCode.Unavailable, "t", "no", 0));
        }
    });
}
