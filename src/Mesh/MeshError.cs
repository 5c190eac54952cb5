// SPDX-License-Identifier: Apache-2.0
namespace Mooncake.Mesh;

/// <summary>Why an operation failed. Travels on the wire: values are fixed, new ones are appended.</summary>
public enum MeshErrorCode
{
    /// <summary>No failure.</summary>
    None = 0,

    /// <summary>No object has this key.</summary>
    NotFound = 1,

    /// <summary>The key is empty or over the limit.</summary>
    InvalidKey = 2,

    /// <summary>A value, buffer, option or argument is outside its limit.</summary>
    InvalidArgument = 3,

    /// <summary>No node had room, even after evicting what may be evicted.</summary>
    NoSpace = 4,

    /// <summary>The deadline passed; whether the operation took effect is unknown unless said otherwise.</summary>
    DeadlineExceeded = 5,

    /// <summary>No peer that could answer was reachable.</summary>
    Unavailable = 6,

    /// <summary>The peer is at its bound of work; try again later.</summary>
    Busy = 7,

    /// <summary>The peer does not speak our protocol, version or cluster.</summary>
    Protocol = 8,

    /// <summary>The bytes that arrived are not the object that was located.</summary>
    Stale = 9,

    /// <summary>The caller cancelled.</summary>
    Cancelled = 10,

    /// <summary>A living node already has this id.</summary>
    NodeIdInUse = 11,

    /// <summary>The registry (etcd) cannot be reached or refuses us.</summary>
    Registry = 12,

    /// <summary>The operation started and its outcome could not be learnt.</summary>
    Unknown = 13,

    /// <summary>The operating system refused memory, a socket or a file.</summary>
    System = 14,

    /// <summary>The peer or client has been closed.</summary>
    Closed = 15,

    /// <summary>The two sides of a connection do not share a cluster secret.</summary>
    Unauthenticated = 16,

    /// <summary>No node may hard-pin that many more bytes.</summary>
    PinLimit = 20,

    /// <summary>A process has as much of a node's shared memory reserved, or in view, as it may.</summary>
    ClientLimit = 24,

    /// <summary>An accelerator or its driver refused, failed or stalled.</summary>
    Device = 25,
}

/// <summary>An expected failure, named by the stage that met it.</summary>
/// <param name="Code">What kind of failure.</param>
/// <param name="Stage">Where: "put", "locate", "transfer", "config:listen", ...</param>
/// <param name="Message">One line for a person: the field, the value and the limit.</param>
public sealed record MeshError(MeshErrorCode Code, string Stage, string Message)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Stage}: {Message} ({Code})";
}

/// <summary>The throwing form of a <see cref="MeshError"/>.</summary>
public sealed class MeshException(MeshError error) : Exception(error.ToString())
{
    /// <summary>The failure.</summary>
    public MeshError Error { get; } = error;
}

/// <summary>A value or the <see cref="MeshError"/> that took its place.</summary>
/// <typeparam name="T">The value's type.</typeparam>
public readonly struct MeshResult<T>
{
    private readonly T? _value;

    private MeshResult(T? value, MeshError? error)
    {
        _value = value;
        Error = error;
    }

    /// <summary>The failure, or null.</summary>
    public MeshError? Error { get; }

    /// <summary>Whether there is a value.</summary>
    public bool Succeeded => Error is null;

    /// <summary>The value; throws <see cref="MeshException"/> when there is none.</summary>
    public T Value => Error is null ? _value! : throw new MeshException(Error);

    /// <summary>Wraps a value.</summary>
    public static implicit operator MeshResult<T>(T value) => new(value, null);

    /// <summary>Wraps a failure.</summary>
    public static implicit operator MeshResult<T>(MeshError error) => new(default, error);
}
