// SPDX-License-Identifier: Apache-2.0

using MessagePack;
using Microsoft.Extensions.Logging;

namespace Mooncake.Mesh.Control;

/// <summary>
/// What opens a connection, in both directions bounded by the caller's token: two Hellos, and where there is a cluster
/// secret two proofs of it. The side that connects proves first, so that a stranger learns nothing to guess by.
/// Thread-safe.
/// </summary>
/// <param name="secret">The cluster's secret; null: there is none, and a peer with one is refused.</param>
/// <param name="runtime">Where nonces come from, clock and log.</param>
internal sealed class Handshake(ClusterSecret? secret, MeshRuntime runtime)
{
    /// <summary>Bytes of the nonce in a Hello of a side that has a secret.</summary>
    public const int NonceBytes = 32;

    private const string HowToSet = "set secretFile (--secret-file, MOONCAKE_MESH_SECRET_FILE)";
    private volatile ClusterSecret? _secret = secret;
    private readonly LogGate _gate = new(runtime.Time);
    private readonly ILogger _log = runtime.Log.CreateLogger("mesh.handshake");
    private long _refusedOffers;
    private long _refusedAnswers;

    /// <summary>Connections refused here because the side that made them did not prove our secret.</summary>
    public long RefusedOffers => Volatile.Read(ref _refusedOffers);

    /// <summary>
    /// Connections of ours that ended because the other side did not prove our secret or refused our proof.
    /// </summary>
    public long RefusedAnswers => Volatile.Read(ref _refusedAnswers);

    /// <summary>Whether there is a secret.</summary>
    public bool HasSecret => _secret is not null;

    /// <summary>What connections are opened with from now on; those there are stay.</summary>
    public ClusterSecret? Secret
    {
        set => _secret = value;
    }

    /// <summary>Says hello, reads the answer, and proves the secret to each other.</summary>
    public async Task<MeshResult<Hello>> OfferAsync(IPeerConnection connection, FrameReader reader, Hello self,
        CancellationToken cancel)
    {
        var secret = _secret;
        var answered = await ExchangeAsync(connection, reader, secret, WithNonce(self, secret), cancel);
        if (answered.Error is { Code: MeshErrorCode.Unauthenticated } refused)
            Count(ref _refusedAnswers, "secret_refused_by_peer", connection, refused);
        return answered;
    }

    /// <summary>Reads a hello and answers it, or refuses.</summary>
    public async Task<MeshResult<Hello>> AcceptAsync(IPeerConnection connection, FrameReader reader,
        Func<Hello, Hello> self, CancellationToken cancel)
    {
        var secret = _secret;
        byte[] offer = (await reader.ReadAsync(cancel)).ToArray();
        var offered = Parse<Hello>(offer, MessageType.Hello);
        if (!offered.Succeeded)
            return offered;
        var answer = WithNonce(self(offered.Value), secret);
        var refusal = Hello.Mismatch(answer, offered.Value) ?? CheckOffer(offered.Value, answer.NodeId, secret);
        if (refusal is null)
        {
            byte[] answered = await SendAsync(connection, MessageType.Hello, answer, cancel);
            if (secret is not null)
                refusal = await AnswerProofAsync(connection, reader, secret, offer, answered, answer.NodeId, cancel);
        }

        if (refusal is null)
            return offered;
        if (refusal.Code == MeshErrorCode.Unauthenticated)
            Count(ref _refusedOffers, "secret_not_proven", connection, refusal);
        if (refusal.Code != MeshErrorCode.Unavailable)
            await RefuseAsync(connection, refusal, cancel);
        return refusal;
    }

    /// <summary>Tells the other side why it is not let in; its hello has been read.</summary>
    public static Task RefuseAsync(IPeerConnection connection, MeshError why, CancellationToken cancel) =>
        SendAsync(connection, MessageType.Failure, new Failure(why.Code, why.Stage, why.Message), cancel);

    private async Task<MeshResult<Hello>> ExchangeAsync(IPeerConnection connection, FrameReader reader,
        ClusterSecret? secret, Hello self, CancellationToken cancel)
    {
        byte[] offer = await SendAsync(connection, MessageType.Hello, self, cancel);
        byte[] answer = (await reader.ReadAsync(cancel)).ToArray();
        var answered = Parse<Hello>(answer, MessageType.Hello);
        if (!answered.Succeeded)
            return answered;
        if (Hello.Mismatch(self, answered.Value) is { } mismatch)
            return mismatch;
        string name = NameOf(answered.Value.NodeId);
        if (secret is null)
        {
            return answered.Value.Authentication.Length == 0
                ? answered
                : Unauthenticated($"{name} asks for the cluster secret and there is none here; {HowToSet}");
        }

        if (answered.Value.Authentication.Length != NonceBytes)
            return Unauthenticated($"{name} has no cluster secret, and without one it is not talked to");
        await SendAsync(connection, MessageType.Proof, new Proof(secret.Prove(ProverRole.Offerer, offer, answer)),
            cancel);
        var proof = Parse<Proof>(await reader.ReadAsync(cancel), MessageType.Proof);
        if (!proof.Succeeded)
            return proof.Error!;
        if (secret.Find(proof.Value.Values, ProverRole.Acceptor, offer, answer) < 0)
            return Unauthenticated($"{name} does not know the cluster secret");
        return answered;
    }

    private async Task<MeshError?> AnswerProofAsync(IPeerConnection connection, FrameReader reader,
        ClusterSecret secret, byte[] offer, byte[] answer, string nodeId, CancellationToken cancel)
    {
        var proof = Parse<Proof>(await reader.ReadAsync(cancel), MessageType.Proof);
        if (!proof.Succeeded)
            return proof.Error;
        int known = secret.Find(proof.Value.Values, ProverRole.Offerer, offer, answer);
        if (known < 0)
            return Unauthenticated($"the cluster secret that was offered is not that of {NameOf(nodeId)}");
        byte[] ours = secret.Prove(ProverRole.Acceptor, offer, answer)[known];
        await SendAsync(connection, MessageType.Proof, new Proof([ours]), cancel);
        return null;
    }

    private MeshError? CheckOffer(Hello offered, string nodeId, ClusterSecret? secret)
    {
        if (secret is null)
        {
            return offered.Authentication.Length == 0
                ? null
                : Unauthenticated($"{NameOf(nodeId)} has no cluster secret, and the other side has one");
        }

        return offered.Authentication.Length == NonceBytes
            ? null
            : Unauthenticated($"{NameOf(nodeId)} asks for the cluster secret and none was offered; {HowToSet}");
    }

    private Hello WithNonce(Hello hello, ClusterSecret? secret)
    {
        if (secret is null)
            return hello;
        byte[] nonce = new byte[NonceBytes];
        runtime.Random.Fill(nonce);
        return hello with { Authentication = nonce };
    }

    private void Count(ref long counter, string what, IPeerConnection connection, MeshError refusal)
    {
        Interlocked.Increment(ref counter);
        if (_gate.TryPass(out long more))
        {
            _log.LogWarning("{Event} peer={Peer} reason={Reason} more={More}", what, connection.RemoteEndpoint,
                refusal.Message, more);
        }
    }

    private static string NameOf(string nodeId) => nodeId.Length > 0 ? $"node '{nodeId}'" : "the peer";

    private static MeshError Unauthenticated(string message) =>
        new(MeshErrorCode.Unauthenticated, "handshake", message);

    private static MeshResult<T> Parse<T>(ReadOnlyMemory<byte> frame, MessageType wanted)
        where T : IWireMessage<T>
    {
        if (frame.IsEmpty)
            return new MeshError(MeshErrorCode.Unavailable, "handshake", "the peer closed the connection");
        try
        {
            var reader = new MessagePackReader(frame);
            Wire.Enter(ref reader, 3);
            var type = (MessageType)reader.ReadInt32();
            reader.ReadUInt64();
            if (type == MessageType.Failure)
                return Failure.Read(ref reader).ToError();
            return type == wanted
                ? T.Read(ref reader)
                : new MeshError(MeshErrorCode.Protocol, "handshake", $"the frame is no {wanted}");
        }
        catch (Exception e) when (e is WireException or MessagePackSerializationException or EndOfStreamException
            or OverflowException)
        {
            return new MeshError(MeshErrorCode.Protocol, "handshake", e.Message);
        }
    }

    /// <summary>Sends a message; the frame's body, as the other side reads it.</summary>
    private static async Task<byte[]> SendAsync<T>(IPeerConnection connection, MessageType type, T message,
        CancellationToken cancel)
        where T : IWireMessage<T>
    {
        var frame = FrameBuffer.Of(type, 0, message);
        byte[] body = frame.Body.ToArray();
        await connection.SendAsync(frame.Bytes, cancel);
        frame.Return();
        return body;
    }
}
