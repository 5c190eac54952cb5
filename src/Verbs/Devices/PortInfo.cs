// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Verbs.Interop;

namespace Mooncake.Mesh.Verbs.Devices;

/// <summary>The logical state of a port. Only an active one moves data.</summary>
internal enum PortState
{
    Unknown = ibv_port_state.IBV_PORT_NOP,
    Down = ibv_port_state.IBV_PORT_DOWN,
    Initializing = ibv_port_state.IBV_PORT_INIT,
    Armed = ibv_port_state.IBV_PORT_ARMED,
    Active = ibv_port_state.IBV_PORT_ACTIVE,
    ActiveDeferred = ibv_port_state.IBV_PORT_ACTIVE_DEFER,
}

/// <summary>What is below the verbs: it decides how a peer is addressed.</summary>
internal enum LinkLayer
{
    Unknown = ibv_link_layer.IBV_LINK_LAYER_UNSPECIFIED,
    InfiniBand = ibv_link_layer.IBV_LINK_LAYER_INFINIBAND,
    Ethernet = ibv_link_layer.IBV_LINK_LAYER_ETHERNET,
}

/// <summary>A port as it was when asked.</summary>
/// <param name="Number">From 1.</param>
/// <param name="State">Whether it moves data.</param>
/// <param name="ActiveMtu">In bytes; 0 when the device does not say.</param>
/// <param name="Lid">The local identifier; 0 on Ethernet.</param>
/// <param name="LinkLayer">InfiniBand or Ethernet.</param>
/// <param name="GidTableLength">Rows of the GID table, the empty ones included.</param>
/// <param name="BitsPerSecond">Speed times width as sysfs has it; null when unknown.</param>
internal sealed record PortInfo(
    byte Number, PortState State, int ActiveMtu, ushort Lid, LinkLayer LinkLayer, int GidTableLength,
    long? BitsPerSecond);

/// <summary>The path MTUs of the verbs, in bytes: 256 to 4,096, powers of two.</summary>
internal static class PathMtu
{
    internal static int Bytes(ibv_mtu mtu) =>
        mtu is >= ibv_mtu.IBV_MTU_256 and <= ibv_mtu.IBV_MTU_4096 ? 128 << (int)mtu : 0;

    /// <exception cref="ArgumentOutOfRangeException">There is no such path MTU.</exception>
    internal static ibv_mtu Native(int bytes) => bytes switch
    {
        256 => ibv_mtu.IBV_MTU_256,
        512 => ibv_mtu.IBV_MTU_512,
        1024 => ibv_mtu.IBV_MTU_1024,
        2048 => ibv_mtu.IBV_MTU_2048,
        4096 => ibv_mtu.IBV_MTU_4096,
        _ => throw new ArgumentOutOfRangeException(nameof(bytes), bytes, "no path MTU of the verbs"),
    };
}
