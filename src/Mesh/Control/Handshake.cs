// SPDX-License-Identifier: Apache-2.0

using MessagePack;

namespace Mooncake.Mesh.Control;

/// <summary>The exchange of Hellos that opens a connection, in both directions bounded by the caller's token.</summary>
internal static class Handshake
{
    /// <summary>Says hello and reads the answer.</summary>
    public static async Task<MeshResult<Hello>> OfferAsync(IPeerConnection connection, FrameReader reader, Hello self,
        CancellationToken cancel)
    {
        await SendAsync(connection, MessageType.Hello, self, cancel);
        var frame = await reader.ReadAsync(cancel);
        if (frame.IsEmpty)
            return new MeshError(MeshErrorCode.Unavailable, "handshake", "the peer closed the connection");
        return Parse(frame);
    }

    /// <summary>Reads a hello and answers it, or refuses.</summary>
    public static async Task<MeshResult<Hello>> AcceptAsync(IPeerConnection connection, FrameReader reader,
        Func<Hello, Hello> self, CancellationToken cancel)
    {
        var frame = await reader.ReadAsync(cancel);
        if (frame.IsEmpty)
            return new MeshError(MeshErrorCode.Unavailable, "handshake", "the peer closed the connection");
        var offered = Parse(frame);
        if (!offered.Succeeded)
            return offered;
        var answer = self(offered.Value);
        if (Hello.Mismatch(answer, offered.Value) is { } mismatch)
        {
            await SendAsync(connection, MessageType.Failure,
                new Failure(mismatch.Code, mismatch.Stage, mismatch.Message), cancel);
            return mismatch;
        }

        await SendAsync(connection, MessageType.Hello, answer, cancel);
        return offered;
    }

    private static MeshResult<Hello> Parse(ReadOnlyMemory<byte> frame)
    {
        try
        {
            var reader = new MessagePackReader(frame);
            Wire.Enter(ref reader, 3);
            var type = (MessageType)reader.ReadInt32();
            reader.ReadUInt64();
            return type switch
            {
                MessageType.Hello => Hello.Read(ref reader),
                MessageType.Failure => Failure.Read(ref reader).ToError(),
                _ => new MeshError(MeshErrorCode.Protocol, "handshake", "the first frame is no Hello"),
            };
        }
        catch (Exception e) when (e is WireException or MessagePackSerializationException or EndOfStreamException
            or OverflowException)
        {
            return new MeshError(MeshErrorCode.Protocol, "handshake", e.Message);
        }
    }

    private static async Task SendAsync<T>(IPeerConnection connection, MessageType type, T message,
        CancellationToken cancel)
        where T : IWireMessage<T>
    {
        var frame = FrameBuffer.Of(type, 0, message);
        await connection.SendAsync(frame.Bytes, cancel);
        frame.Return();
    }
}
