// SPDX-License-Identifier: Apache-2.0
using System.Buffers.Binary;
using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Mooncake.Mesh.Control;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh;

/// <summary>
/// The world a peer runs in: scheduler, clock, randomness, network and log. The core touches none of these except
/// through here, so a simulation can replace them all and replay a run from one seed.
/// </summary>
public sealed record MeshRuntime
{
    /// <summary>Clock and timers. The clock also counts the time in which the host is suspended.</summary>
    public TimeProvider Time { get; init; } = BootTimeProvider.Best;

    /// <summary>Where every continuation of the core runs.</summary>
    public TaskScheduler Scheduler { get; init; } = TaskScheduler.Default;

    /// <summary>Where every random number comes from.</summary>
    public RandomSource Random { get; init; } = RandomSource.System;

    /// <summary>How connections to peers are made and accepted.</summary>
    public required IPeerNetwork Network { get; init; }

    /// <summary>Where log lines go.</summary>
    public ILoggerFactory Log { get; init; } = NullLoggerFactory.Instance;

    /// <summary>The rules that keep the mesh safe.</summary>
    internal MeshPolicies Policies { get; init; } = MeshPolicies.Default;

    /// <summary>Makes more transports, which are tried before the sockets; null: there are none.</summary>
    internal Func<TransportParts, IReadOnlyList<ITransport>>? MoreTransports { get; init; }

    /// <summary>Makes the transport over RDMA cards; null: this program has none.</summary>
    internal Func<VerbsParts, Task<MeshResult<IVerbsTransport>>>? Verbs { get; init; }

    /// <summary>Memory of accelerators; null: this program or host has none.</summary>
    public IDeviceMemory? Devices { get; init; }

    /// <summary>Why there is none, for whoever asks for one; null: this program uses none.</summary>
    public string? NoDevicesReason { get; init; }

    /// <summary>Starts <paramref name="work"/> on the scheduler of this runtime.</summary>
    /// <returns>A task that ends when the work has ended.</returns>
    public Task Start(Func<Task> work) =>
        Task.Factory.StartNew(() => work().Unwrappable(), CancellationToken.None, TaskCreationOptions.DenyChildAttach,
            Scheduler).Unwrap();

    /// <summary>Starts <paramref name="work"/> on the scheduler of this runtime.</summary>
    /// <returns>A task that ends with the work's result.</returns>
    public Task<T> Start<T>(Func<Task<T>> work) =>
        Task.Factory.StartNew(() => work().Unwrappable(), CancellationToken.None, TaskCreationOptions.DenyChildAttach,
            Scheduler).Unwrap();

    /// <summary>Waits on the clock of this runtime.</summary>
    public Task Delay(TimeSpan delay, CancellationToken cancel) => Task.Delay(delay, Time, cancel);
}

/// <summary>A thread-safe source of random numbers: the operating system's, or one that repeats from a seed.</summary>
public abstract class RandomSource
{
    /// <summary>The operating system's cryptographic source.</summary>
    public static RandomSource System { get; } = new OperatingSystemSource();

    /// <summary>64 random bits, never 0 (0 means "none" in records).</summary>
    public abstract ulong NextUInt64();

    /// <summary>Fills <paramref name="bytes"/> at random.</summary>
    public virtual void Fill(Span<byte> bytes)
    {
        Span<byte> word = stackalloc byte[8];
        for (; !bytes.IsEmpty; bytes = bytes[Math.Min(8, bytes.Length)..])
        {
            BinaryPrimitives.WriteUInt64LittleEndian(word, NextUInt64());
            word[..Math.Min(8, bytes.Length)].CopyTo(bytes);
        }
    }

    /// <summary>A number from 0 up to, and without, <paramref name="bound"/>.</summary>
    public int Next(int bound) => (int)(NextUInt64() % (ulong)bound);

    /// <summary>A source that repeats from <paramref name="seed"/>.</summary>
    public static RandomSource FromSeed(int seed) => new SeededSource(seed);

    private sealed class OperatingSystemSource : RandomSource
    {
        public override ulong NextUInt64()
        {
            Span<byte> bytes = stackalloc byte[8];
            RandomNumberGenerator.Fill(bytes);
            return Math.Max(1, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
        }

        public override void Fill(Span<byte> bytes) => RandomNumberGenerator.Fill(bytes);
    }

    private sealed class SeededSource(int seed) : RandomSource
    {
        private readonly Random _random = new(seed);

        public override ulong NextUInt64()
        {
            lock (_random)
                return Math.Max(1, (ulong)_random.NextInt64(long.MinValue, long.MaxValue));
        }
    }
}
