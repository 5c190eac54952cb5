// SPDX-License-Identifier: Apache-2.0

using System.Text;
using MessagePack;
using Mooncake.Mesh.Control;

namespace Mooncake.Mesh.Tests.Control;

/// <summary>Who gets through the opening of a connection, and what both sides are told otherwise.</summary>
public sealed class HandshakeTests
{
    private static readonly ClusterSecret Old = Secret("the secret of last year");
    private static readonly ClusterSecret New = Secret("the secret of this year");
    private static readonly ClusterSecret Both = Secret("the secret of last year\nthe secret of this year");
    private static readonly ClusterSecret BothNewFirst = Secret("the secret of this year\nthe secret of last year");

    [Fact]
    public async Task Without_secrets_both_get_through()
    {
        var (offer, accept) = await MeetAsync(null, null);
        Assert.Equal("acceptor", offer.Value.NodeId);
        Assert.Equal("offerer", accept.Value.NodeId);
    }

    /// <summary>Every pair of files there is while a secret is replaced node by node.</summary>
    [Fact]
    public async Task Sides_that_share_a_secret_get_through()
    {
        ClusterSecret[][] steps = [[Old, Both], [Both, BothNewFirst], [BothNewFirst, New], [Old, BothNewFirst]];
        foreach (var step in steps)
        {
            foreach (var one in step)
            {
                foreach (var other in step)
                {
                    var (offer, accept) = await MeetAsync(one, other);
                    Assert.True(offer.Succeeded && accept.Succeeded, $"{offer.Error} {accept.Error}");
                }
            }
        }
    }

    [Fact]
    public async Task A_wrong_secret_is_refused_on_both_sides_and_counted()
    {
        var (offerer, acceptor) = (Of(Old), Of(New));
        var (offer, accept) = await MeetAsync(offerer, acceptor);
        AssertRefused(offer, "not that of node 'acceptor'");
        AssertRefused(accept, "not that of node 'acceptor'");
        Assert.Equal((0, 1), (offerer.RefusedOffers, offerer.RefusedAnswers));
        Assert.Equal((1, 0), (acceptor.RefusedOffers, acceptor.RefusedAnswers));
    }

    [Fact]
    public async Task A_side_without_a_secret_is_refused_and_told_how_to_set_one()
    {
        var (offer, accept) = await MeetAsync(null, New);
        AssertRefused(offer, "--secret-file");
        AssertRefused(accept, "node 'acceptor' asks for the cluster secret and none was offered");
        (offer, accept) = await MeetAsync(New, null);
        AssertRefused(offer, "node 'acceptor' has no cluster secret");
        AssertRefused(accept, "node 'acceptor' has no cluster secret");
    }

    [Fact]
    public async Task The_same_secret_in_another_cluster_does_not_help()
    {
        var (offer, accept) = await MeetAsync(Of(New), Of(New), acceptorCluster: "other");
        Assert.Equal(MeshErrorCode.Protocol, offer.Error?.Code);
        Assert.Contains("'other'", accept.Error!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_recorded_bytes_of_a_good_handshake_are_refused_when_sent_again()
    {
        var recorded = new List<byte[]>();
        var (a, b) = MemoryPipe.Pair();
        var good = await MeetAsync(Of(New), Of(New), new Tap(a, recorded.Add), b);
        Assert.True(good.Accept.Succeeded);
        Assert.Equal(2, recorded.Count);

        var (thief, victim) = MemoryPipe.Pair();
        foreach (byte[] bytes in recorded)
            await thief.SendAsync(bytes, CancellationToken.None);
        var accept = await AcceptAsync(Of(New), victim, "c");
        AssertRefused(accept, "not that of node 'acceptor'");
    }

    [Fact]
    public async Task An_acceptor_that_sends_the_proof_back_does_not_know_the_secret()
    {
        var (a, b) = MemoryPipe.Pair();
        var offering = OfferAsync(Of(New), a, "c");
        var reader = new FrameReader(b);
        await reader.ReadAsync(CancellationToken.None);
        await SendAsync(b, MessageType.Hello, HelloOf("acceptor", "c") with { Authentication = new byte[32] });
        byte[] proof = (await reader.ReadAsync(CancellationToken.None)).ToArray();
        byte[] frame = [.. BitConverter.GetBytes(proof.Length), .. proof];
        await b.SendAsync(frame, CancellationToken.None);
        AssertRefused(await offering, "node 'acceptor' does not know the cluster secret");
    }

    /// <summary>
    /// Each field of the first frame, changed on its way: lane, cluster (both sides say the same), nonce, wanted node.
    /// </summary>
    [Theory]
    [InlineData("lane")]
    [InlineData("nonce")]
    [InlineData("bootId")]
    public async Task A_hello_changed_on_its_way_makes_the_proof_worthless(string field)
    {
        var (a, b) = MemoryPipe.Pair();
        var meeting = await MeetAsync(Of(New), Of(New), new Tap(a, null, bytes => Change(bytes, field)), b);
        AssertRefused(meeting.Accept, "not that of node 'acceptor'");
        Assert.False(meeting.Offer.Succeeded);
    }

    [Fact]
    public void A_proof_holds_for_one_role_one_opening_and_one_secret()
    {
        byte[] offer = Encoding.UTF8.GetBytes("offer"), answer = Encoding.UTF8.GetBytes("answer");
        byte[][] proofs = New.Prove(ProverRole.Offerer, offer, answer);
        Assert.Equal(0, New.Find(proofs, ProverRole.Offerer, offer, answer));
        Assert.Equal(1, Both.Find(proofs, ProverRole.Offerer, offer, answer));
        Assert.Equal(-1, Old.Find(proofs, ProverRole.Offerer, offer, answer));
        Assert.Equal(-1, New.Find(proofs, ProverRole.Acceptor, offer, answer));
        Assert.Equal(-1, New.Find(proofs, ProverRole.Offerer, answer, offer));
        Assert.Equal(-1, New.Find(proofs, ProverRole.Offerer, [.. offer, answer[0]], answer[1..]));
        Assert.Equal(-1, New.Find([], ProverRole.Offerer, offer, answer));
    }

    [Fact]
    public async Task Each_opening_has_a_nonce_of_its_own()
    {
        var nonces = new HashSet<string>();
        for (int i = 0; i < 100; i++)
        {
            var (a, b) = MemoryPipe.Pair();
            var sent = new List<byte[]>();
            await MeetAsync(Of(New), Of(New), new Tap(a, sent.Add), b);
            Assert.True(nonces.Add(Convert.ToHexString(ReadHello(sent[0]).Authentication)));
        }
    }

    private static void AssertRefused(MeshResult<Hello> result, string why)
    {
        Assert.Equal(MeshErrorCode.Unauthenticated, result.Error?.Code);
        Assert.Contains(why, result.Error!.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("year", result.Error.Message, StringComparison.Ordinal);
    }

    private static byte[] Change(byte[] frame, string field)
    {
        if (BitConverter.ToInt32(frame) != frame.Length - 4 || frame[5] != (byte)MessageType.Hello)
            return frame;
        var hello = ReadHello(frame);
        hello = field switch
        {
            "lane" => hello with { Lane = Lane.Data },
            "bootId" => hello with { BootId = "elsewhere" },
            _ => hello with { Authentication = new byte[Handshake.NonceBytes] },
        };
        return FrameBuffer.Of(MessageType.Hello, 0, hello).Bytes.ToArray();
    }

    private static Hello ReadHello(byte[] frame)
    {
        var reader = new MessagePackReader(frame.AsMemory(4));
        Wire.Enter(ref reader, 3);
        reader.Skip();
        reader.Skip();
        return Hello.Read(ref reader);
    }

    private static ClusterSecret Secret(string text) => ClusterSecret.Parse(Encoding.UTF8.GetBytes(text)).Value;

    private static Handshake Of(ClusterSecret? secret) => new(secret, new MeshRuntime { Network = null! });

    private static Task<(MeshResult<Hello> Offer, MeshResult<Hello> Accept)> MeetAsync(ClusterSecret? offerer,
        ClusterSecret? acceptor) => MeetAsync(Of(offerer), Of(acceptor));

    private static Task<(MeshResult<Hello> Offer, MeshResult<Hello> Accept)> MeetAsync(Handshake offerer,
        Handshake acceptor, string acceptorCluster = "c")
    {
        var (a, b) = MemoryPipe.Pair();
        return MeetAsync(offerer, acceptor, a, b, acceptorCluster);
    }

    private static async Task<(MeshResult<Hello> Offer, MeshResult<Hello> Accept)> MeetAsync(Handshake offerer,
        Handshake acceptor, IPeerConnection a, IPeerConnection b, string acceptorCluster = "c")
    {
        var accepting = AcceptAsync(acceptor, b, acceptorCluster);
        return (await OfferAsync(offerer, a, "c"), await accepting);
    }

    private static Task<MeshResult<Hello>> OfferAsync(Handshake handshake, IPeerConnection connection,
        string cluster) => handshake.OfferAsync(connection, new FrameReader(connection), HelloOf("offerer", cluster),
            TestContext.Current.CancellationToken);

    private static Task<MeshResult<Hello>> AcceptAsync(Handshake handshake, IPeerConnection connection,
        string cluster) => handshake.AcceptAsync(connection, new FrameReader(connection),
            _ => HelloOf("acceptor", cluster), TestContext.Current.CancellationToken);

    private static Hello HelloOf(string nodeId, string cluster) => new()
    {
        Cluster = cluster,
        Lane = Lane.Client,
        NodeId = nodeId,
        Incarnation = 1,
    };

    private static ValueTask SendAsync(IPeerConnection connection, MessageType type, Hello hello) =>
        connection.SendAsync(FrameBuffer.Of(type, 0, hello).Bytes, CancellationToken.None);

    /// <summary>A wire with somebody on it, who records what is sent or changes it.</summary>
    private sealed class Tap(IPeerConnection inner, Action<byte[]>? record, Func<byte[], byte[]>? change = null)
        : IPeerConnection
    {
        public string RemoteEndpoint => inner.RemoteEndpoint;

        public ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancel)
        {
            byte[] sent = bytes.ToArray();
            record?.Invoke(sent);
            return inner.SendAsync(change?.Invoke(sent) ?? sent, cancel);
        }

        public ValueTask<int> ReceiveAsync(Memory<byte> buffer, CancellationToken cancel) =>
            inner.ReceiveAsync(buffer, cancel);

        public void Abort() => inner.Abort();

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
